use axum::body::Body;
use axum::http::Request;
use healthmate_care::{By, Clock};
use serde_json::{Value, json};

use super::*;
use crate::http::tests::{Reply, World, id};

const MEASUREMENT: &str =
    r#"{"metric":"heart_rate","value":72,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;

async fn send(world: &World, method: &str, path: &str, token: &str, body: impl Into<Body>) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request =
        request.header("content-type", "application/json").header("authorization", format!("Bearer {token}"));
    world.send(request.body(body.into()).expect("valid")).await
}

async fn ask(world: &World, caller: &str, user: &str, body: Value) -> Reply {
    send(world, "POST", &format!("/v1/users/{user}/tokens"), &world.token(caller), body.to_string()).await
}

fn wanted(scopes: &[&str]) -> Value {
    json!({ "name": "Ada's «ring»", "scopes": scopes })
}

/// The id and the token.
async fn issued(world: &World, caller: &str, user: &str, body: Value) -> (String, String) {
    let reply = ask(world, caller, user, body).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let of = |name: &str| reply.json()[name].as_str().expect("text").to_owned();
    (of("id"), of("token"))
}

#[tokio::test]
async fn a_token_opens_what_it_was_issued_for_and_nothing_else() {
    let world = World::new().await;
    let (_, writes) = issued(&world, "ada", "ring", wanted(&["write_measurements"])).await;
    let (_, reads) = issued(&world, "ada", "ring", wanted(&["read_measurements"])).await;
    let history = "/v1/patients/ada/measurements";
    let status = async |method: &str, path: &str, token: &str, body: &'static str| {
        send(&world, method, path, token, body).await.status
    };
    assert_eq!(status("POST", "/v1/measurements", &writes, MEASUREMENT).await, 201);
    assert_eq!(status("POST", "/v1/measurements", &reads, MEASUREMENT).await, 403);
    assert_eq!(status("GET", history, &reads, "").await, 200);
    assert_eq!(status("GET", history, &writes, "").await, 403);
    assert_eq!(
        status("GET", "/v1/patients/bob/measurements", &reads, "").await,
        403,
        "no more than its user may"
    );
    for (method, path) in [
        ("GET", "/v1/patients"),
        ("GET", "/v1/auth/sign-ins"),
        ("POST", "/v1/auth/logout"),
        ("POST", "/v1/users/ring/tokens"),
        ("GET", "/ws/connections"),
        ("GET", "/ws/status"),
    ] {
        assert_eq!(status(method, path, &writes, "{}").await, 403, "{method} {path}");
    }
    let trail = world.app.store.audit_after(0, 1000).await.expect("read");
    let denied = trail
        .iter()
        .map(|entry| &entry.record)
        .filter(|record| record.reason.as_deref() == Some("token_scope"));
    let denied: Vec<_> = denied
        .map(|record| format!("{} {}", record.action, record.object.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        denied,
        [
            "write /v1/measurements",
            "read /v1/patients/{id}/measurements",
            "read /v1/patients",
            "read /v1/auth/sign-ins",
            "write /v1/auth/logout",
            "write /v1/users/{id}/tokens",
            "read /ws/connections",
            "read /ws/status",
        ]
    );
    let me = send(&world, "GET", "/v1/me", &writes, "").await.json();
    assert_eq!((&me["id"], &me["expires_at"]), (&json!("ring"), &json!("2200-01-01T00:00:00.000000Z")));
}

#[tokio::test]
async fn a_token_is_shown_once_listed_with_its_last_use_and_revoked() {
    let world = World::new().await;
    let body =
        json!({ "name": "scale", "scopes": ["write_measurements", "read_measurements"], "expires_in": 3600 });
    let (name, token) = issued(&world, "ada", "ada", body).await;
    let list = "/v1/users/ada/tokens";
    let listed = async || {
        let reply = world.get(list, Some("ada")).await;
        assert!(!reply.body.contains(&token[37..]), "the secret is not shown again");
        reply.json()["tokens"].clone()
    };
    assert_eq!(listed().await[0]["last_used_at"], Value::Null);
    world.clock.advance_millis(5000);
    assert_eq!(world.get_with_token("/v1/me", &token).await.status, 200);
    let only = listed().await[0].clone();
    assert_eq!(only["last_used_at"], "2026-11-23T07:00:05.000000Z");
    assert_eq!(only["scopes"], json!(["read_measurements", "write_measurements"]));
    let path = format!("{list}/{name}");
    let revoke = async |caller: &str| send(&world, "DELETE", &path, &world.token(caller), "").await;
    assert_eq!(revoke("bob").await.code(), "access_denied");
    assert_eq!(revoke("ada").await.status, 204);
    assert_eq!(revoke("ada").await.code(), "not_found");
    assert_eq!(world.get_with_token("/v1/me", &token).await.code(), "token_revoked");
    assert_eq!(listed().await, json!([]));
    let (_, short) = issued(
        &world,
        "ada",
        "ada",
        json!({ "name": "x", "scopes": ["read_measurements"], "expires_in": 1 }),
    )
    .await;
    world.clock.advance_millis(1000);
    assert_eq!(world.get_with_token("/v1/me", &short).await.code(), "token_expired");
}

#[tokio::test]
async fn a_token_is_for_oneself_ones_device_or_by_an_administrator_to_write() {
    let world = World::new().await;
    let table = [
        ("ada", "ring", "read_measurements", 201),
        ("ada", "ada", "read_measurements", 201),
        ("ada", "bob", "write_measurements", 403),
        ("bob", "ring", "write_measurements", 403),
        ("nora", "ring", "write_measurements", 403),
        ("nora", "nora", "read_measurements", 201),
        ("root", "ring", "write_measurements", 201),
        ("root", "ring", "read_measurements", 403),
        ("root", "ada", "write_measurements", 403),
        ("ada", "nobody", "write_measurements", 403),
        ("ada", "ring'--", "write_measurements", 403),
    ];
    for (caller, user, scope, status) in table {
        let user = user.replace('\'', "%27");
        assert_eq!(ask(&world, caller, &user, wanted(&[scope])).await.status, status, "{caller} for {user}");
    }
    let wrong = [
        (json!({ "name": "", "scopes": ["read_measurements"] }), "name"),
        (json!({ "name": "x".repeat(65), "scopes": ["read_measurements"] }), "name"),
        (json!({ "name": "a\0", "scopes": ["read_measurements"] }), "name"),
        (json!({ "name": "x", "scopes": [] }), "scopes"),
        (json!({ "name": "x", "scopes": ["everything"] }), "scopes"),
        (json!({ "name": "x", "scopes": ["read_measurements"], "expires_in": 0 }), "expires_in"),
        (json!({ "name": "x", "scopes": ["read_measurements"], "expires_in": -1 }), "expires_in"),
    ];
    for (body, field) in wrong {
        let reply = ask(&world, "ada", "ada", body).await;
        assert_eq!((reply.status, &reply.json()["field"]), (400, &json!(field)), "{}", reply.body);
    }
}

#[tokio::test]
async fn what_is_no_token_or_not_its_secret_opens_nothing() {
    let world = World::new().await;
    let (_, token) = issued(&world, "ada", "ring", wanted(&["write_measurements"])).await;
    let other = ApiSecret::new(&*world.clock);
    let forged = format!("{}{}", &token[..37], &other.text()[37..]);
    for (text, code) in [
        (other.text(), "token_revoked"),
        (forged, "token_revoked"),
        (token[..60].to_owned(), "token_malformed"),
        (token.replacen("hmt_", "hmt_hmt_", 1), "token_malformed"),
        ("hmt_".to_owned(), "token_malformed"),
    ] {
        assert_eq!(world.get_with_token("/v1/me", &text).await.code(), code, "{text}");
    }
    world.app.store.set_active(&id("ring"), false, By::command_line(world.clock.now())).await.expect("known");
    assert_eq!(world.get_with_token("/v1/me", &token).await.code(), "user_inactive");
}

#[tokio::test]
async fn a_user_has_a_hundred_and_no_more() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(issued(&world, "ada", "ring", wanted(&["read_measurements"])).await.0);
    }
    let refused = ask(&world, "ada", "ring", wanted(&["read_measurements"])).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_requests"));
    assert_eq!(refused.json()["detail"], "a user has at most 100 API tokens: take one back first");
    let token = world.token("ada");
    let one = format!("/v1/users/ring/tokens/{}", ids[0]);
    assert_eq!(send(&world, "DELETE", &one, &token, "").await.status, 204);
    issued(&world, "ada", "ring", wanted(&["read_measurements"])).await;
}
