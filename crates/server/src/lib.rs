//! The only performer: listener, connections, HTTP routes, authentication, configuration, telemetry, lifecycle.

pub mod app;
mod assets;
pub mod auth;
pub mod config;
pub mod http;
pub mod telemetry;
