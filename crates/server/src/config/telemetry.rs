//! `[telemetry]`: where traces and logs go besides standard error.

use http::Uri;
use serde::{Deserialize, Serialize};

use super::problem::Findings;

/// Where traces and logs go besides standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Where an OpenTelemetry collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`. Only in a build with the
    /// feature `otel`. Default: nowhere.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySettings {
    pub(super) fn check(&self, found: &mut Findings) {
        let Some(endpoint) = &self.otlp_endpoint else { return };
        if !cfg!(feature = "otel") {
            let message = "this build exports no telemetry: build one with \
                           `cargo build --release -p healthmate --features otel`";
            return found.add("telemetry.otlp_endpoint", message);
        }
        let plain = endpoint.parse::<Uri>().is_ok_and(|uri| {
            let host = uri.host().is_some_and(|host| !host.is_empty());
            uri.scheme_str() == Some("http") && host && uri.path() == "/" && uri.query().is_none()
        });
        if !plain || endpoint.ends_with('/') {
            let message = format!(
                "`{endpoint}` must be http://host or http://host:port, such as http://127.0.0.1:4318"
            );
            found.add("telemetry.otlp_endpoint", message);
        }
    }
}
