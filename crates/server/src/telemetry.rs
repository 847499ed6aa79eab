//! Logs and metrics. Neither ever holds health data, tokens, names or ids of users.

pub mod log;
pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;

pub use metrics::{ConnectionState, Metrics, RefusalReason, RequestRefusal};

#[cfg(test)]
mod docs;
