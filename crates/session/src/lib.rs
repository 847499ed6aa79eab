//! One connection's state machine, without input or output.
