//! Traces and logs to an OpenTelemetry collector, by OTLP over HTTP with protobuf. Only with the feature `otel`.
//!
//! Spans are named after what they do and hold ids, counts and codes, as the log does; never health data. They are
//! sent in batches by a thread of their own; while the collector does not keep up, further ones are dropped.

mod post;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, Protocol, SpanExporter};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use self::post::Post;

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The exporter cannot be made.
    #[error("telemetry.otlp_endpoint: {0}")]
    Build(#[from] ExporterBuildError),
    /// The thread that sends has no runtime.
    #[error("telemetry.otlp_endpoint: no runtime to send from: {0}")]
    Runtime(#[from] std::io::Error),
}

/// An export that goes on until it is stopped.
#[derive(Debug)]
pub struct Export {
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
}

impl Export {
    /// Begins to export to the collector at `endpoint`, such as `http://127.0.0.1:4318`. Nothing is sent yet, so it
    /// need not be there.
    ///
    /// # Errors
    /// If the endpoint is no URL, or no runtime can be made.
    pub fn start(endpoint: &str) -> Result<Self, ExportError> {
        let resource = Resource::builder()
            .with_service_name("healthmate")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(Post::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .build()?;
        let records = LogExporter::builder()
            .with_http()
            .with_http_client(Post::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/logs"))
            .build()?;
        let traces =
            SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(spans).build();
        let logs = SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(records).build();
        Ok(Self { traces, logs })
    }

    /// What takes the spans of HealthMate, and what takes the log, as far as `filter` lets it.
    pub(super) fn layer<S>(&self, filter: EnvFilter) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours =
            |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with("healthmate");
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.traces.tracer("healthmate"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(ours).and(LevelFilter::DEBUG));
        let records = OpenTelemetryTracingBridge::new(&self.logs).with_filter(filter);
        spans.and_then(records)
    }

    /// Sends what waits and ends the export. It takes at most some seconds, also where nobody listens.
    pub fn stop(self) {
        // What cannot be sent now is lost: there is nobody left to tell.
        let _ = self.traces.shutdown();
        let _ = self.logs.shutdown();
    }
}

#[cfg(test)]
mod receiver;
#[cfg(test)]
mod tests;
