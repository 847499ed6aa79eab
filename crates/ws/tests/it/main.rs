//! The crate from outside: an independent peer, properties, and the seeds of the fuzz targets.
#![expect(clippy::expect_used, reason = "what fails here fails the test")]

mod peer;
mod properties;
mod seeds;
