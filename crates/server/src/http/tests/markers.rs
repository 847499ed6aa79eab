//! Nothing of a request reaches the log or the metrics.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use axum::body::Body;
use axum::http::Request;

use super::{Failing, World};
use crate::config::LogSettings;
use crate::telemetry::log;

/// What all tests of this process logged that have a world, at the level `trace`.
static LOG: LazyLock<Captured> = LazyLock::new(|| {
    let captured = Captured::default();
    let settings = LogSettings { level: "trace".to_owned(), ..LogSettings::default() };
    let writer = captured.clone();
    let subscriber = log::subscriber(&settings, move || writer.clone()).expect("valid");
    tracing::subscriber::set_global_default(subscriber).expect("the first");
    captured
});

/// Begins to capture the log. It is the process's, as in a server: one of a single test would miss what other
/// threads decided about first.
pub(super) fn capture() {
    LazyLock::force(&LOG);
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Markers in all that a passkey sends.
const PASSKEY: &str = r#""credential":{"id":"MARKER","type":"public-key","response":{"clientDataJSON":"MARKER",
    "attestationObject":"MARKER","authenticatorData":"MARKER","signature":"MARKER","userHandle":"MARKER"}}"#;

/// Sends a marker in every place where a client can put one, down every route.
async fn plant(world: &World) {
    let one = r#"{"metric":"heart_rate","value":171.4242,"unit":"/min","taken_at":"2026-11-23T07:00:00Z",
                  "client_id":"MARKER","device":"MARKER"}"#;
    assert_eq!(world.post("ada", &[("idempotency-key", "MARKER")], one).await.status, 201);
    for refused in [
        one.replace("171.4242", "9171.4242"),
        one.replace("heart_rate", "MARKER"),
        one.replace("/min", "MARKER"),
        one.replace("2026-", "MARKER"),
        one.replacen('{', r#"{"patient":"MARKER","#, 1),
        one.replace(':', "MARKER"),
    ] {
        assert!(world.post("ada", &[], refused).await.status >= 400);
    }
    world.post("nora", &[("idempotency-key", "MARKER")], one).await;
    world.get("/v1/patients/ada/measurements", Some("ada")).await;
    for path in [
        "/v1/patients/MARKER/measurements?cursor=MARKER&metric=MARKER",
        "/v1/patients/ada/measurements?cursor=MARKER",
        "/v1/patients",
        "/v1/me",
        "/v1/MARKER",
        "/MARKER?token=MARKER",
        "/demo/sign-ins",
        "/ws/status",
        "/ws/connections?user=MARKER&cursor=MARKER",
        "/ws/connection/MARKER/health",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/problems/MARKER",
    ] {
        world.get(path, Some("nora")).await;
        world.get_with_token(path, "MARKER").await;
        world.get_with(path, &[("authorization", "Bearer MARKER.MARKER.MARKER"), ("cookie", "MARKER")]).await;
    }
    for (path, body) in [
        ("/v1/auth/passkeys/options", r#"{"password":"MARKER"}"#.to_owned()),
        ("/v1/auth/passkeys", format!(r#"{{"name":"MARKER",{PASSKEY}}}"#)),
        ("/v1/auth/passkeys/sign-in", format!(r#"{{"label":"MARKER",{PASSKEY}}}"#)),
        ("/v1/auth/passkeys/sign-in", PASSKEY.to_owned()),
    ] {
        let token = format!("Bearer {}", world.token("nora"));
        let request =
            Request::post(path).header("authorization", token).header("content-type", "application/json");
        assert!(world.send(request.body(Body::from(body)).expect("valid")).await.status >= 400);
    }
    let request = Request::builder().method("MARKER").uri("/v1/me").body(Body::empty()).expect("valid");
    world.send(request).await;
}

#[tokio::test]
async fn neither_log_nor_metrics_hold_anything_of_a_request() {
    let world = World::demo().await;
    plant(&world).await;
    let broken = World::failing(Failing::Unavailable).await;
    plant_in_broken(&broken).await;
    let log = String::from_utf8(LOG.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let metrics = world.get("/metrics", None).await.body;
    assert!(log.contains("/v1/patients/{id}/measurements"), "requests are logged by route");
    assert!(log.contains("a request failed in storage"), "failures are logged");
    let token = world.token("nora");
    let signature = token.rsplit('.').next().expect("three parts");
    for secret in ["MARKER", "171.4242", "Lovelace", "Nora", "Dana", signature] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!metrics.contains(secret), "{secret} is in the metrics");
    }
    for user in ["ada", "nora"] {
        assert!(!metrics.contains(user), "{user} is in the metrics");
    }
}

async fn plant_in_broken(world: &World) {
    let one = r#"{"metric":"heart_rate","value":171.4242,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;
    assert_eq!(world.post("ada", &[("idempotency-key", "MARKER")], one).await.status, 503);
}
