//! The rules of the house, pure: metrics and units, plausibility, access, ids and the clock.
