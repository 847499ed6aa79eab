//! The client side of the wire: one signed-in connection, and when to come back after it was cut.
//!
//! `replay`, `waveform` and `watch` are built on it; so are the demo's devices.

mod backoff;
mod connection;
mod error;
mod reconnect;
mod rest;
mod token;

#[cfg(test)]
pub(crate) mod scripted_peer;

pub(crate) use backoff::{Backoff, seed};
pub(crate) use connection::{Connection, Offsets, Received, Target};
pub(crate) use error::ClientError;
pub(crate) use reconnect::{Link, Reconnect};
pub(crate) use rest::Rest;
pub(crate) use token::{Token, TokenSource};
