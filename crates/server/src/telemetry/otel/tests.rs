use super::receiver::{Collector, shown, text};
use super::*;
use crate::config::LogSettings;
use crate::http::tests::{World, markers};
use crate::telemetry::log;

/// Requests of all kinds while everything is exported: each is a span by its route, and what is logged comes with it.
#[tokio::test]
async fn a_collector_gets_the_spans_and_the_log() {
    let collector = Collector::start();
    let export = Export::start(&collector.endpoint).expect("made");
    let settings = LogSettings { level: "info".to_owned(), ..LogSettings::default() };
    let subscriber = log::exporting(&settings, std::io::sink, &export).expect("valid");
    let world = World::new().await;
    {
        let _exported = tracing::subscriber::set_default(subscriber);
        assert_eq!(world.get("/v1/me", Some("ada")).await.status, 200);
        let body = r#"{"metric":"heart_rate","value":71.3,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;
        assert_eq!(world.post("ada", &[], body).await.status, 201);
        assert_eq!(world.get("/v1/patients/bob/measurements?metric=glucose", Some("ada")).await.status, 403);
        tracing::info!(shards = 2, "ready");
        tracing::debug!("a detail that is not logged");
    }
    // The collector listens on a thread of its own; what waits is sent before this returns.
    tokio::task::spawn_blocking(move || export.stop()).await.expect("stopped");
    let received = collector.received();
    assert_eq!(received.service, "healthmate");
    let spans: Vec<_> = received
        .spans
        .iter()
        .map(|span| (span.name.as_str(), text(&span.attributes, "http.response.status_code"), span.kind))
        .collect();
    let expected = [
        ("GET /v1/me", "200"),
        ("POST /v1/measurements", "201"),
        ("GET /v1/patients/{id}/measurements", "403"),
    ];
    assert_eq!(spans, expected.map(|(name, status)| (name, status.to_owned(), 2)), "kind 2 is a server's");
    assert_eq!(text(&received.spans[2].attributes, "error.type"), "access_denied");
    let records: Vec<_> =
        received.records.iter().map(|record| record.body.clone().map(shown).unwrap_or_default()).collect();
    assert_eq!(records, ["ready"]);
    assert_eq!(text(&received.records[0].attributes, "shards"), "2");
    // Neither whom it was about nor what was measured leaves the process.
    let all = format!("{:?}{:?}", received.spans, received.records);
    for secret in ["bob", "glucose", "heart_rate", "71.3", "Ada"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

/// The collector is somebody else's machine: it gets nothing of what the log does not get either, at the level `trace`.
#[tokio::test]
async fn no_marker_reaches_the_collector() {
    let collector = Collector::start();
    let export = Export::start(&collector.endpoint).expect("made");
    let settings = LogSettings { level: "trace".to_owned(), ..LogSettings::default() };
    let subscriber = log::exporting(&settings, std::io::sink, &export).expect("valid");
    let secrets = {
        let _exported = tracing::subscriber::set_default(subscriber);
        markers::plant_everywhere().await.0
    };
    tokio::task::spawn_blocking(move || export.stop()).await.expect("stopped");
    let received = collector.received();
    for route in ["POST /v1/auth/login", "POST /v1/patients/{id}/break-glass", "GET /v1/notifications"] {
        assert!(received.spans.iter().any(|span| span.name == route), "{route} is a span");
    }
    assert!(!received.records.is_empty(), "the log is exported");
    let all = format!("{:?}{:?}", received.spans, received.records);
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} in {all}");
    }
}

#[test]
fn a_collector_that_is_not_there_stops_nothing() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let export = Export::start(&format!("http://{free}")).expect("made");
    let subscriber = log::exporting(&LogSettings::default(), std::io::sink, &export).expect("valid");
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("healthmate").in_scope(|| tracing::info!("x"));
    });
    export.stop();
}
