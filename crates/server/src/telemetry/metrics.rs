//! What is counted, for Prometheus.
//!
//! A counter that connections bump is an atomic they hold by name, without a lock or a map: labels are enums whose
//! counters all exist from the start. No label is ever the id of a user, a patient, a connection or a topic.

use healthmate_protocol::server::{MeasurementReceipt, Presence};
use healthmate_protocol::{CloseCode, ErrorCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use super::labels::{
    By, ConnectionState, KeyFetch, Label, RefusalReason, Reload, RequestRefusal, ResumeResult, SignInResult,
};

/// The `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One answered HTTP request, as it is counted.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty = $name:literal $($unit:ident)?;)*) => {
        /// What is counted. The names in `/metrics` begin with `healthmate_`; counters end in `_total`.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            http_requests: Family<RequestLabels, Counter>,
            $($(#[doc = $help])+ pub $field: $type,)*
        }

        impl Metrics {
            /// Everything at zero.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("healthmate");
                let http_requests = Family::default();
                let help = "HTTP requests answered, by route, method and status; route `other` is the web app";
                registry.register("http_requests", help, http_requests.clone());
                $(let $field = <$type as Registered>::register(
                    &mut registry, $name, concat!($($help),+).trim().trim_end_matches('.'), metrics!(@unit $($unit)?),
                );)*
                Self { registry, http_requests, $($field,)* }
            }
        }
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

metrics! {
    /// Connections there are, by state.
    connections: By<ConnectionState, Gauge> = "connections";
    /// Connections accepted.
    connections_opened: Counter = "connections_opened";
    /// Connections turned away, by reason.
    connections_refused: By<RefusalReason, Counter> = "connections_refused";
    /// Connections the server closed, by close code.
    closes: By<CloseCode, Counter> = "closes";
    /// Subscriptions there are.
    subscriptions: Gauge = "subscriptions";
    /// Subscriptions that went on from an offset, by result.
    resumes: By<ResumeResult, Counter> = "resumes";
    /// Requests for the keys of issuers, by how they ended.
    key_fetches: By<KeyFetch, Counter> = "key_fetches";
    /// Sessions that went on over another connection.
    sessions_resumed: Counter = "sessions_resumed";
    /// Sessions in `error` that ended before their clients came back.
    sessions_ended: Counter = "sessions_ended";
    /// Memory of the sessions in `error`.
    resumable_bytes: Gauge = "resumable" Bytes;
    /// WebSocket messages received.
    messages_received: Counter = "messages_received";
    /// WebSocket messages sent.
    messages_sent: Counter = "messages_sent";
    /// Payload of WebSocket messages received.
    received_bytes: Counter = "received" Bytes;
    /// Payload of WebSocket messages sent.
    sent_bytes: Counter = "sent" Bytes;
    /// What waits to be written to connections.
    queued_bytes: Gauge = "queued" Bytes;
    /// Durable events handed to the hub after their commit.
    events_published: Counter = "events_published";
    /// Durable events put into a connection's queue, once for each receiver.
    deliveries: Counter = "deliveries";
    /// Ephemeral events passed on.
    broadcasts: Counter = "broadcasts";
    /// Ephemeral events put into a connection's queue, once for each receiver.
    ephemeral_deliveries: Counter = "ephemeral_deliveries";
    /// Announcements that a user watches a topic, or no longer does.
    presence_updates: By<Presence, Counter> = "presence_updates";
    /// Ephemeral events that slow readers missed, once for each.
    events_dropped: Counter = "events_dropped";
    /// Events that slow readers of newest values were spared, once for each.
    events_merged: Counter = "events_merged";
    /// Times that unacknowledged events were sent again.
    redeliveries: Counter = "redeliveries";
    /// Deliveries that ended because events stayed unacknowledged.
    deliveries_failed: Counter = "deliveries_failed";
    /// Measurements stored.
    measurements_recorded: Counter = "measurements_recorded";
    /// Measurements sent again under a known `client_id`, and not stored again.
    measurements_duplicate: Counter = "measurements_duplicate";
    /// Patients opened in an emergency.
    break_glass_opened: Counter = "break_glass_opened";
    /// Notifications stored, each for one user.
    notifications_stored: Counter = "notifications_stored";
    /// Requests and messages refused, by error code.
    errors: By<ErrorCode, Counter> = "errors";
    /// Attempts to sign in, and refresh tokens, by what became of them.
    sign_ins: By<SignInResult, Counter> = "sign_ins";
    /// Refusals that were too many to be recorded each in the audit trail.
    audit_left_out: Counter = "audit_left_out";
    /// Records that could not be written to the audit trail: what they describe was not done.
    audit_failures: Counter = "audit_failures";
    /// HTTP requests refused before they reached a route, by reason.
    requests_refused: By<RequestRefusal, Counter> = "requests_refused";
    /// Times that replaced TLS files were read, by result.
    certificate_reloads: By<Reload, Counter> = "certificate_reloads";
    /// Events in one commit.
    commit_events: Histogram = "commit_events";
    /// Time to answer an HTTP request.
    http_request_duration: Histogram = "http_request_duration" Seconds;
}

/// A metric that can put itself into the registry.
trait Registered: Sized {
    fn register(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Self;
}

fn put<M: Metric + Clone>(
    registry: &mut Registry,
    metric: M,
    name: &str,
    help: &str,
    unit: Option<Unit>,
) -> M {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

impl Registered for Counter {
    fn register(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Self {
        put(registry, Self::default(), name, help, unit)
    }
}

impl Registered for Gauge {
    fn register(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Self {
        put(registry, Self::default(), name, help, unit)
    }
}

impl Registered for Histogram {
    fn register(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Self {
        // Seconds from half a millisecond to 8 s; counts from 1 to 16384.
        let buckets = if unit.is_some() {
            exponential_buckets(0.0005, 2.0, 15)
        } else {
            exponential_buckets(1.0, 2.0, 15)
        };
        put(registry, Self::new(buckets), name, help, unit)
    }
}

impl<L: Label, M: Metric + Default + Clone> Registered for By<L, M>
where
    Family<Vec<(&'static str, String)>, M>: Metric,
{
    fn register(registry: &mut Registry, name: &str, help: &str, _: Option<Unit>) -> Self {
        Self::register(registry, name, help)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counts what became of measurements: stored, or known already.
    pub fn count_receipts(&self, receipts: &[MeasurementReceipt]) {
        let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count() as u64;
        self.measurements_duplicate.inc_by(duplicates);
        self.measurements_recorded.inc_by(receipts.len() as u64 - duplicates);
    }

    /// Counts an answered HTTP request. `route` is the pattern, such as `/v1/patients/{id}/measurements`: never the
    /// path, which holds ids.
    pub(crate) fn count_request(&self, route: &str, method: &'static str, status: u16, seconds: f64) {
        let labels = RequestLabels { route: route.to_owned(), method, status };
        self.http_requests.get_or_create(&labels).inc();
        self.http_request_duration.observe(seconds);
    }

    /// Everything, in the text form of `OpenMetrics`.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        if text::encode(&mut out, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_of_a_label_is_counted_by_its_word() {
        let metrics = Metrics::new();
        metrics.closes.of(CloseCode::AuthenticationTimeout).inc();
        metrics.errors.of(ErrorCode::StorageFull).inc_by(2);
        metrics.connections.of(ConnectionState::Authenticated).set(3);
        let text = metrics.encode();
        for line in [
            r#"healthmate_closes_total{code="4501"} 1"#,
            r#"healthmate_closes_total{code="1000"} 0"#,
            r#"healthmate_errors_total{code="storage_full"} 2"#,
            r#"healthmate_connections{state="authenticated"} 3"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn names_and_meanings_are_stable() {
        let text = Metrics::new().encode();
        let help: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP healthmate_")).collect();
        insta::assert_snapshot!(help.join("\n"), @r"
        connections Connections there are, by state.
        connections_opened Connections accepted.
        connections_refused Connections turned away, by reason.
        closes Connections the server closed, by close code.
        subscriptions Subscriptions there are.
        resumes Subscriptions that went on from an offset, by result.
        key_fetches Requests for the keys of issuers, by how they ended.
        sessions_resumed Sessions that went on over another connection.
        sessions_ended Sessions in `error` that ended before their clients came back.
        resumable_bytes Memory of the sessions in `error`.
        messages_received WebSocket messages received.
        messages_sent WebSocket messages sent.
        received_bytes Payload of WebSocket messages received.
        sent_bytes Payload of WebSocket messages sent.
        queued_bytes What waits to be written to connections.
        events_published Durable events handed to the hub after their commit.
        deliveries Durable events put into a connection's queue, once for each receiver.
        broadcasts Ephemeral events passed on.
        ephemeral_deliveries Ephemeral events put into a connection's queue, once for each receiver.
        presence_updates Announcements that a user watches a topic, or no longer does.
        events_dropped Ephemeral events that slow readers missed, once for each.
        events_merged Events that slow readers of newest values were spared, once for each.
        redeliveries Times that unacknowledged events were sent again.
        deliveries_failed Deliveries that ended because events stayed unacknowledged.
        measurements_recorded Measurements stored.
        measurements_duplicate Measurements sent again under a known `client_id`, and not stored again.
        break_glass_opened Patients opened in an emergency.
        notifications_stored Notifications stored, each for one user.
        errors Requests and messages refused, by error code.
        sign_ins Attempts to sign in, and refresh tokens, by what became of them.
        audit_left_out Refusals that were too many to be recorded each in the audit trail.
        audit_failures Records that could not be written to the audit trail: what they describe was not done.
        requests_refused HTTP requests refused before they reached a route, by reason.
        certificate_reloads Times that replaced TLS files were read, by result.
        commit_events Events in one commit.
        http_request_duration_seconds Time to answer an HTTP request.
        ");
    }
}
