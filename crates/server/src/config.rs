//! Settings: their defaults, limits and sources.
