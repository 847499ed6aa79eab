//! A world to test routes in: a store in memory, a clock that stands, users of every kind.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Request};
use healthmate_care::{CareRelation, ManualClock, Role, User};
use healthmate_protocol::UserId;
use healthmate_storage::memory::MemoryStore;
use healthmate_storage::{Directory, Store};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::router;
use crate::app::App;
use crate::auth::TokenVerifier;
use crate::config::{Secret, Settings};
use crate::telemetry::log;

mod failing;

pub(super) use failing::Failing;

pub(super) const NOW: &str = "2026-11-23T07:00:00Z";

pub(super) struct World {
    pub(super) app: Arc<App>,
    pub(super) clock: Arc<ManualClock>,
    router: Router,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(super) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.body
        );
        assert_eq!(self.json()["status"], self.status);
        self.json()["code"].as_str().expect("a code").to_owned()
    }
}

pub(super) fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

/// `ada` and `bob` are patients; `ring` is ada's device; `nora` is in ada's care team, `dora` in nobody's; `root` is
/// an administrator in ada's care team, `gone` a disabled nurse there; `past` was in it until now.
async fn furnish(store: &MemoryStore) {
    let users = [
        ("ada", Role::Patient, "Ada Lovelace", None, true),
        ("bob", Role::Patient, "Bob", None, true),
        ("ring", Role::Device, "Ada's ring", Some("ada"), true),
        ("nora", Role::Nurse, "Nora", None, true),
        ("dora", Role::Doctor, "Dora", None, true),
        ("root", Role::Admin, "Root", None, true),
        ("gone", Role::Nurse, "Gone", None, false),
        ("past", Role::Caregiver, "Past", None, true),
        ("demo-nurse", Role::Nurse, "Dana Demo", None, true),
    ];
    for (user, role, name, device_of, active) in users {
        let user = User {
            id: id(user),
            role,
            name: name.to_owned(),
            device_of: device_of.map(id),
            active,
        };
        store.add_user(user).await.expect("added");
    }
    for member in ["nora", "root", "gone", "past"] {
        let starts_at = "2026-01-01T00:00:00Z".parse().expect("valid");
        let ends_at = (member == "past").then(|| NOW.parse().expect("valid"));
        let relation = CareRelation {
            patient: id("ada"),
            member: id(member),
            starts_at,
            ends_at,
        };
        store.add_care_relation(relation).await.expect("added");
    }
}

impl World {
    pub(super) async fn new() -> Self {
        Self::build(Settings::default(), None).await
    }

    pub(super) async fn demo() -> Self {
        Self::build(
            Settings {
                demo: true,
                ..Settings::default()
            },
            None,
        )
        .await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        Self::build(settings, None).await
    }

    pub(super) async fn failing(failing: Failing) -> Self {
        Self::build(Settings::default(), Some(failing)).await
    }

    async fn build(settings: Settings, failing: Option<Failing>) -> Self {
        let clock = Arc::new(ManualClock::new(NOW.parse().expect("valid")));
        let memory = MemoryStore::new(clock.clone());
        furnish(&memory).await;
        let store: Arc<dyn Store> = match failing {
            None => Arc::new(memory),
            Some(failing) => Arc::new(failing::FailingStore {
                inner: memory,
                failing,
            }),
        };
        let verifier = TokenVerifier::new(
            &settings.auth,
            &Secret::new("a secret for tests, of 32 bytes or more"),
        );
        let app = Arc::new(App::new(settings, store, clock.clone(), verifier));
        app.set_ready(true);
        let router = router(app.clone());
        Self { app, clock, router }
    }

    /// A token of `user`, good for an hour.
    pub(super) fn token(&self, user: &str) -> String {
        let now = healthmate_care::Clock::now(self.clock.as_ref());
        self.app.verifier.issue(&id(user), 3600, now)
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("whole").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    pub(super) async fn get(&self, path: &str, user: Option<&str>) -> Reply {
        match user {
            Some(user) => self.get_with_token(path, &self.token(user)).await,
            None => self.get_from_host(path, "localhost:8080").await,
        }
    }

    pub(super) async fn get_from_host(&self, path: &str, host: &str) -> Reply {
        self.get_with(path, &[(HOST.as_str(), host)]).await
    }

    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request.body(Body::empty()).expect("valid")).await
    }

    pub(super) async fn get_with_token(&self, path: &str, token: &str) -> Reply {
        self.get_with(path, &[(AUTHORIZATION.as_str(), &format!("Bearer {token}"))])
            .await
    }

    pub(super) async fn post(&self, user: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let request = Request::post("/v1/measurements")
            .header(AUTHORIZATION, format!("Bearer {}", self.token(user)))
            .header(CONTENT_TYPE, "application/json");
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(body.into()).expect("valid")).await
    }
}

#[tokio::test]
async fn an_unknown_route_or_method_of_the_api_is_a_problem() {
    let world = World::new().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/patients/",
        "/ws/health",
        "/demo/x",
        "/problems",
    ] {
        let reply = world.get(path, None).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    for (method, path) in [
        ("DELETE", "/v1/measurements"),
        ("GET", "/v1/measurements"),
        ("POST", "/v1/me"),
        ("POST", "/"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .expect("valid");
        let reply = world.send(request).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (405, "method_not_allowed"),
            "{method} {path}"
        );
        assert!(!reply.header("allow").is_empty(), "{method} {path}");
    }
    insta::assert_snapshot!(world.get("/v1/nothing", None).await.body, @r#"{"type":"/problems/not_found","title":"There is no such thing here.","status":404,"detail":"Check the address.","code":"not_found","retry":false}"#);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let world = World::new().await;
    for path in [
        "/",
        "/v1/me",
        "/v1/nothing",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/no.file",
    ] {
        let reply = world.get(path, None).await;
        let policy = reply.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        let private = reply.header("cache-control") == "no-store";
        assert!(private || !path.starts_with("/v1"), "{path}");
    }
}

#[tokio::test]
async fn the_type_of_every_problem_can_be_looked_up() {
    let world = World::new().await;
    for code in healthmate_protocol::ErrorCode::ALL {
        let reply = world.get(&format!("/problems/{}", code.as_str()), None).await;
        assert_eq!(reply.status, 200);
        assert!(reply.body.contains(code.remedy()), "{}", reply.body);
    }
    assert_eq!(world.get("/problems/unheard_of", None).await.code(), "not_found");
}

#[tokio::test]
async fn a_store_that_fails_is_503_with_the_time_to_come_back() {
    for (failing, code) in [
        (Failing::Full, "storage_full"),
        (Failing::Unavailable, "storage_unavailable"),
    ] {
        let world = World::failing(failing).await;
        let body = r#"{"metric":"heart_rate","value":72,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;
        let reply = world.post("ada", &[], body).await;
        assert_eq!(
            (reply.status, reply.code().as_str(), reply.header("retry-after")),
            (503, code, "1")
        );
        assert!(!reply.body.contains("/secret/path"), "{}", reply.body);
    }
}

/// What the log of a test holds.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends a marker in every place where a client can put one, down every route.
async fn plant(world: &World) {
    let one = r#"{"metric":"heart_rate","value":171.4242,"unit":"/min","taken_at":"2026-11-23T07:00:00Z",
                  "client_id":"MARKER","device":"MARKER"}"#;
    assert_eq!(
        world
            .post("ada", &[("idempotency-key", "MARKER")], one)
            .await
            .status,
        201
    );
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
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/problems/MARKER",
    ] {
        world.get(path, Some("nora")).await;
        world.get_with_token(path, "MARKER").await;
        world
            .get_with(
                path,
                &[
                    ("authorization", "Bearer MARKER.MARKER.MARKER"),
                    ("cookie", "MARKER"),
                ],
            )
            .await;
    }
    let request = Request::builder()
        .method("MARKER")
        .uri("/v1/me")
        .body(Body::empty())
        .expect("valid");
    world.send(request).await;
}

#[tokio::test]
async fn neither_log_nor_metrics_hold_anything_of_a_request() {
    let captured = Captured::default();
    let settings = crate::config::LogSettings {
        level: "trace".to_owned(),
        ..Default::default()
    };
    let writer = captured.clone();
    let subscriber = log::subscriber(&settings, move || writer.clone()).expect("valid");
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::demo().await;
    plant(&world).await;
    let broken = World::failing(Failing::Unavailable).await;
    plant_in_broken(&broken).await;
    let log = String::from_utf8(captured.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let metrics = world.get("/metrics", None).await.body;
    assert!(
        log.contains("/v1/patients/{id}/measurements"),
        "requests are logged by route"
    );
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
    assert_eq!(
        world
            .post("ada", &[("idempotency-key", "MARKER")], one)
            .await
            .status,
        503
    );
}
