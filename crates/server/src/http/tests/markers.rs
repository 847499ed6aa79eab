//! Nothing of a request reaches the log, the metrics or the traces.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use axum::body::Body;
use axum::http::Request;
use healthmate_care::By;
use healthmate_storage::{NewPassword, Passkey, SignInEnd, SignIns};
use serde_json::{Value, json};

use super::{Failing, NOW, Reply, World, id};
use crate::config::{LogSettings, Settings};
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

/// What is nowhere but in answers: markers, a value, names.
const PLANTED: &[&str] = &["MARKER", "171.4242", "Lovelace", "Nora", "Dana"];

const PASSWORD: &str = "MARKER horse battery";

/// A world to plant in: its passwords are hashed quickly.
async fn world() -> World {
    let mut settings = Settings { demo: true, ..Settings::default() };
    settings.sign_in.argon2_memory_kib = 8192;
    settings.sign_in.argon2_passes = 1;
    World::with(settings).await
}

/// Uses every route and lets storage fail, with secrets in all of it; returns what must be nowhere but in answers, and
/// the metrics.
pub(crate) async fn plant_everywhere() -> (Vec<String>, String) {
    let world = world().await;
    plant(&world).await;
    let mut secrets: Vec<String> = PLANTED.iter().map(ToString::to_string).collect();
    secrets.extend(plant_sign_ins(&world).await);
    secrets.extend(plant_api_tokens(&world).await);
    plant_passkeys(&world).await;
    plant_emergency(&world).await;
    plant_in_broken(&World::failing(Failing::Unavailable).await).await;
    secrets.push(signature(&world.token("nora")));
    (secrets, world.get("/metrics", None).await.body)
}

/// The part of a token that proves it: the last one of a JWT and of a hash, the third one of what begins with `hm`.
fn signature(token: &str) -> String {
    let last =
        if token.starts_with("hm") { token.splitn(3, '_').last() } else { token.rsplit(['.', '$']).next() };
    last.filter(|part| part.len() >= 40).expect("long enough to be nowhere by chance").to_owned()
}

async fn ask(world: &World, method: &str, path: &str, token: Option<&str>, body: Value) -> Reply {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    world.send(request.body(Body::from(body.to_string())).expect("valid")).await
}

fn text(reply: &Reply, field: &str) -> String {
    reply.json()[field].as_str().expect("text").to_owned()
}

/// Passwords and refresh tokens that are taken, refused and replayed; returns what proves them.
async fn plant_sign_ins(world: &World) -> Vec<String> {
    let hash = world.app.passwords.hash(PASSWORD.to_owned()).await.expect("hashed");
    let at = NOW.parse().expect("valid");
    let end = SignInEnd { user: id("nora"), which: SignIns::All, reason: "test", access_until: at };
    world
        .app
        .store
        .set_password(NewPassword::anyway(hash.clone()), end, By::command_line(at))
        .await
        .expect("known");
    let login = async |user: &str, password: &str| {
        let body = json!({ "user": user, "password": password, "label": "MARKER" });
        ask(world, "POST", "/v1/auth/login", None, body).await
    };
    let signed_in = login("nora", PASSWORD).await;
    assert_eq!(signed_in.status, 200);
    for (user, password) in [("nora", "MARKER wrong"), ("MARKER", PASSWORD), ("ada", PASSWORD)] {
        assert_eq!(login(user, password).await.status, 401);
    }
    let refresh = async |token: &str| {
        ask(world, "POST", "/v1/auth/refresh", None, json!({ "refresh_token": token })).await
    };
    let (access, first) = (text(&signed_in, "access_token"), text(&signed_in, "refresh_token"));
    let second = text(&refresh(&first).await, "refresh_token");
    let third = text(&refresh(&second).await, "refresh_token");
    let here = ask(world, "GET", "/v1/auth/sign-ins", Some(&access), Value::Null).await;
    assert!(here.body.contains("MARKER"), "{}", here.body);
    for (old, new) in [("MARKER wrong", "MARKER new horse"), (PASSWORD, "MARKER new horse")] {
        let body = json!({ "old_password": old, "new_password": new });
        ask(world, "POST", "/v1/auth/password", Some(&access), body).await;
    }
    for refused in [first.as_str(), "hmr_MARKER", "MARKER"] {
        assert_eq!(refresh(refused).await.status, 401);
    }
    [access, first, second, third, hash].iter().map(|token| signature(token)).collect()
}

/// API tokens that are issued, used, used for more than they open, and spelled wrong; returns what proves them.
async fn plant_api_tokens(world: &World) -> Vec<String> {
    let ada = world.token("ada");
    let body = json!({ "name": "MARKER", "scopes": ["read_measurements"] });
    let issued = ask(world, "POST", "/v1/users/ring/tokens", Some(&ada), body).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let token = text(&issued, "token");
    for (path, status) in [("/v1/me", 200), ("/v1/notifications", 403)] {
        assert_eq!(world.get_with_token(path, &token).await.status, status, "{path}");
    }
    let wrong = token.replace(&signature(&token), &"MARKERMARKER".repeat(4)[..43]);
    for refused in [wrong.as_str(), "hmt_MARKER"] {
        assert_eq!(world.get_with_token("/v1/me", refused).await.status, 401);
    }
    let held = world.get("/v1/users/ring/tokens", Some("ada")).await;
    assert!(held.body.contains("MARKER"), "{}", held.body);
    let path = format!("/v1/users/ring/tokens/{}", text(&issued, "id"));
    assert_eq!(ask(world, "DELETE", &path, Some(&ada), Value::Null).await.status, 204);
    assert_eq!(world.get_with_token("/v1/me", &token).await.status, 401);
    vec![signature(&token)]
}

/// A passkey whose name is shown to its user, and others that are refused for what is in them.
async fn plant_passkeys(world: &World) {
    let at = NOW.parse().expect("valid");
    let passkey = Passkey {
        credential: b"MARKER".to_vec(),
        user: id("nora"),
        name: "MARKER".to_owned(),
        algorithm: -7,
        public_key: b"MARKER".to_vec(),
        counter: 0,
        created_at: at,
        last_used_at: None,
    };
    world.app.store.add_passkey(passkey, By::command_line(at)).await.expect("known");
    let token = world.token("nora");
    let path = "/v1/auth/passkeys";
    assert!(world.get_with_token(path, &token).await.body.contains("MARKER"));
    let response = json!({
        "clientDataJSON": "MARKERss", "attestationObject": "MARKERss", "authenticatorData": "MARKERss",
        "signature": "MARKERss", "userHandle": "MARKERss",
    });
    let credential = json!({ "id": "MARKERss", "type": "public-key", "response": response });
    for (path, body) in [
        (path, json!({ "name": "MARKER", "credential": credential })),
        ("/v1/auth/passkeys/options", json!({ "password": "MARKER wrong" })),
        ("/v1/auth/passkeys/sign-in", json!({ "label": "MARKER", "credential": credential })),
        ("/v1/auth/passkeys/sign-in", json!({ "label": "MARKER", "credential": "MARKER" })),
    ] {
        assert!((400..500).contains(&ask(world, "POST", path, Some(&token), body).await.status), "{path}");
    }
    assert_eq!(ask(world, "DELETE", "/v1/auth/passkeys/MARKER", Some(&token), Value::Null).await.status, 404);
}

/// A patient is opened for a reason, which the notifications repeat; and is not, for another.
async fn plant_emergency(world: &World) {
    let path = "/v1/patients/bob/break-glass";
    let body = json!({ "reason": "MARKER: found unconscious" });
    let opened = ask(world, "POST", path, Some(&world.token("dora")), body.clone()).await;
    assert_eq!(opened.status, 201, "{}", opened.body);
    for (user, body) in [("ada", body), ("dora", json!({ "reason": "MARKER" })), ("dora", json!("MARKER"))] {
        assert!(ask(world, "POST", path, Some(&world.token(user)), body).await.status >= 400);
    }
    for path in [path, "/v1/notifications"] {
        let told = world.get(path, Some("bob")).await;
        assert!(told.body.contains("MARKER: found"), "{}", told.body);
    }
    let told = world.get("/v1/notifications", Some("bob")).await.json();
    let id = told["notifications"][0]["id"].as_str().expect("an id").to_owned();
    for id in [&id, "MARKER"] {
        let path = format!("/v1/notifications/{id}/seen");
        ask(world, "POST", &path, Some(&world.token("bob")), Value::Null).await;
    }
    world.get("/v1/notifications?cursor=MARKER", Some("bob")).await;
    let path = format!("/v1/patients/bob/break-glass/{}", text(&opened, "id"));
    assert_eq!(ask(world, "DELETE", &path, Some(&world.token("bob")), Value::Null).await.status, 204);
}

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
    let request = Request::builder().method("MARKER").uri("/v1/me").body(Body::empty()).expect("valid");
    world.send(request).await;
}

#[tokio::test]
async fn neither_log_nor_metrics_hold_anything_of_a_request() {
    let (secrets, metrics) = plant_everywhere().await;
    let log = String::from_utf8(LOG.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    assert!(log.contains("/v1/patients/{id}/measurements"), "requests are logged by route");
    assert!(log.contains("a request failed in storage"), "failures are logged");
    assert!(log.contains("a patient was opened in an emergency"), "emergencies are logged");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} is in the log");
        assert!(!metrics.contains(&secret), "{secret} is in the metrics");
    }
    for user in ["ada", "nora", "dora", "bob"] {
        assert!(!metrics.contains(user), "{user} is in the metrics");
    }
}

async fn plant_in_broken(world: &World) {
    let one = r#"{"metric":"heart_rate","value":171.4242,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;
    assert_eq!(world.post("ada", &[("idempotency-key", "MARKER")], one).await.status, 503);
}
