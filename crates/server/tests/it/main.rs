//! The server through its front door: a real listener, real sockets, an independent WebSocket client.

#![expect(clippy::expect_used, reason = "a test says what it expects")]

mod access;
mod audit;
mod break_glass;
mod classes;
mod client;
mod erasure;
mod expiry;
mod handshake;
mod hostile;
mod leaks;
mod limits;
mod live;
mod notifications;
mod operators;
mod presence;
mod recovery;
mod resume;
mod revocation;
mod seeds;
mod server;
mod sign_in;
mod stop;
mod tls;
