//! Who is calling: tokens, and what their users may do.
