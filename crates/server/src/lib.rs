//! The only performer: listener, connections, HTTP routes, authentication, configuration, telemetry, lifecycle.
//!
//! [`serve`] runs a whole server; [`Server`] is one with the store and clock of your choice, for tests. The road of
//! a message: `listener` accepts a socket and deals it to a `shard`; `upgrade` makes it a WebSocket; `connection`
//! reads it and performs what its session decides; the store commits; `publish` hands the events to every shard,
//! whose flusher writes them out.

pub mod app;
mod assets;
mod audit;
pub mod auth;
mod break_glass;
pub mod config;
mod connection;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod heads;
pub mod http;
mod jobs;
mod lifecycle;
mod listener;
mod node;
mod people;
mod presence;
mod publish;
mod recent;
mod refusal;
mod registry;
mod shard;
pub mod telemetry;
mod tls;
mod upgrade;

pub use lifecycle::{ServeError, Server, serve};
