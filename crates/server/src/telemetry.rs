//! Logs and metrics. Neither ever holds health data, tokens, names or ids of users.

pub mod labels;
pub mod log;
pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;

pub use labels::{ConnectionState, RefusalReason, RequestRefusal};
pub use metrics::Metrics;

#[cfg(test)]
mod docs;
