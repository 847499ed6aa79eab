//! kill -9 at random moments of the real binary: nothing that was acknowledged is lost, and nothing is half done.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a test says what it expects")]

mod client;
mod emergency;
mod erasing;
mod keys;
mod measurements;
mod process;
mod sealing;
