use axum::http::Request;
use serde_json::{Value, json};

use crate::config::Settings;
use crate::http::tests::{Reply, World};

fn pulse(value: f64) -> Value {
    json!({ "metric": "heart_rate", "value": value, "unit": "/min", "taken_at": "2026-11-23T07:00:00Z" })
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

async fn post(world: &World, user: &str, body: &Value) -> Reply {
    world.post(user, &[], body.to_string()).await
}

/// The status, code and field of a refusal.
fn refusal(reply: &Reply) -> (u16, String, String) {
    let field = reply.json().get("field").and_then(Value::as_str).unwrap_or_default().to_owned();
    (reply.status, reply.code(), field)
}

fn told(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
}

#[tokio::test]
async fn a_patient_and_the_device_of_one_write_to_the_patient() {
    let world = World::new().await;
    let first = post(&world, "ada", &pulse(72.0)).await;
    assert_eq!((first.status, first.body.as_str()), (201, r#"{"patient":"ada","results":[{"offset":1}]}"#));
    let batch = json!({ "batch": [with(pulse(73.0), "client_id", "a1"), with(pulse(36.6), "unit", "bpm")] });
    let second = post(&world, "ring", &batch).await;
    insta::assert_snapshot!(second.body, @r#"{"patient":"ada","results":[{"offset":2,"client_id":"a1"},{"offset":3}]}"#);
    let again =
        post(&world, "ring", &json!({ "patient": "ada", "data": with(pulse(73.0), "client_id", "a1") }))
            .await;
    insta::assert_snapshot!(again.body, @r#"{"patient":"ada","results":[{"offset":2,"client_id":"a1","duplicate":true}]}"#);
    let metrics = world.app.metrics.encode();
    assert!(metrics.contains("healthmate_measurements_recorded_total 3\n"), "{metrics}");
    assert!(metrics.contains("healthmate_measurements_duplicate_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn everyone_else_is_refused_the_same_way_whether_the_patient_exists_or_not() {
    let world = World::new().await;
    for user in ["nora", "dora", "root", "bob", "past"] {
        let foreign = post(&world, user, &with(pulse(72.0), "patient", "ada")).await;
        let unknown = post(&world, user, &with(pulse(72.0), "patient", "nobody")).await;
        assert_eq!(refusal(&foreign), told(403, "access_denied", ""), "{user}");
        assert_eq!(foreign.body, unknown.body, "{user}");
    }
    assert_eq!(refusal(&post(&world, "nora", &pulse(72.0)).await), told(403, "access_denied", ""));
    let of_ada = world.get("/v1/patients/ada/measurements", Some("ada")).await;
    assert_eq!(of_ada.json()["measurements"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named() {
    let world = World::new().await;
    let bad = |name, value: Value| with(pulse(72.0), name, value);
    let cases = [
        (bad("value", json!("72")), 400, "invalid_field", "value"),
        (bad("patient", json!("a b")), 400, "invalid_field", "patient"),
        (bad("taken_at", json!("today")), 400, "invalid_field", "taken_at"),
        (bad("client_id", json!("")), 400, "invalid_field", "client_id"),
        (json!({ "metric": "heart_rate" }), 400, "invalid_field", "value"),
        (
            json!({ "batch": [pulse(72.0), { "metric": "heart_rate" }] }),
            400,
            "invalid_field",
            "batch[1].value",
        ),
        (json!({ "batch": [] }), 400, "invalid_field", "batch"),
        (json!({ "batch": [pulse(72.0)], "data": pulse(72.0) }), 400, "invalid_field", "batch"),
        (bad("value", json!(7200)), 422, "implausible_value", "value"),
        (bad("metric", json!("mood")), 422, "unknown_metric", "metric"),
        (bad("unit", json!("furlong")), 422, "unknown_unit", "unit"),
        (bad("taken_at", json!("2026-11-23T07:05:01Z")), 422, "time_in_future", "taken_at"),
        (json!({ "batch": [pulse(72.0), pulse(1e9)] }), 422, "implausible_value", "batch[1].value"),
        (json!({ "data": pulse(-1.0) }), 422, "implausible_value", "data.value"),
    ];
    for (body, status, code, field) in cases {
        assert_eq!(refusal(&post(&world, "ada", &body).await), told(status, code, field), "{body}");
    }
    let of_ada = world.get("/v1/patients/ada/measurements", Some("ada")).await;
    assert_eq!(of_ada.json()["measurements"], json!([]), "nothing was stored");
    insta::assert_snapshot!(post(&world, "ada", &json!({ "batch": [pulse(1e9)] })).await.body, @r#"{"type":"/problems/implausible_value","title":"No living person has this value.","status":422,"detail":"heart_rate must be 15 to 300 /min, and this is 1000000000 /min","code":"implausible_value","field":"batch[0].value","retry":false}"#);
}

#[tokio::test]
async fn what_is_no_json_object_is_malformed() {
    let world = World::new().await;
    for body in ["", "{", "nonsense", "7", "\"text\"", "{} {}", "\u{fe}"] {
        assert_eq!(world.post("ada", &[], body).await.code(), "malformed_json", "{body:?}");
    }
    let only_text = Request::post("/v1/measurements")
        .header("authorization", format!("Bearer {}", world.token("ada")))
        .header("content-type", "text/plain")
        .body(pulse(72.0).to_string().into())
        .expect("valid");
    assert_eq!(refusal(&world.send(only_text).await), told(415, "invalid_field", "Content-Type"));
}

#[tokio::test]
async fn a_batch_and_a_body_are_taken_at_their_limits_and_refused_past_them() {
    let world = World::new().await;
    let batch = |count: usize| json!({ "batch": vec![pulse(72.0); count] });
    assert_eq!(post(&world, "ada", &batch(1000)).await.status, 201);
    assert_eq!(refusal(&post(&world, "ada", &batch(1001)).await), told(400, "invalid_field", "batch"));
    let mut settings = Settings::default();
    settings.limits.body_bytes = 1024;
    let world = World::with(settings).await;
    let body = |bytes: usize| format!("{:<bytes$}", pulse(72.0).to_string());
    assert_eq!(world.post("ada", &[], body(1024)).await.status, 201);
    let past = world.post("ada", &[], body(1025)).await;
    assert_eq!(refusal(&past), told(413, "invalid_field", ""));
    assert_eq!(past.json()["detail"], "the body must be at most 1024 bytes");
}

#[tokio::test]
async fn a_request_sent_again_under_its_key_gets_the_first_answer() {
    let world = World::new().await;
    let key = [("idempotency-key", "k 1")];
    let first = world.post("ada", &key, pulse(72.0).to_string()).await;
    let again = world.post("ada", &key, pulse(72.0).to_string()).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    let other = world.post("ada", &key, pulse(73.0).to_string()).await;
    assert_eq!(refusal(&other), told(422, "idempotency_conflict", "Idempotency-Key"));
    let of_the_ring = world.post("ring", &key, pulse(73.0).to_string()).await;
    assert_eq!(of_the_ring.status, 201, "a key is its author's own");
    let history = world.get("/v1/patients/ada/measurements", Some("ada")).await;
    assert_eq!(history.json()["measurements"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn a_key_is_taken_at_its_limit_and_refused_past_it() {
    let world = World::new().await;
    let world = &world;
    let send = |key: String| async move {
        world.post("ada", &[("idempotency-key", &key)], pulse(72.0).to_string()).await
    };
    assert_eq!(send("k".repeat(255)).await.status, 201);
    for wrong in ["k".repeat(256), String::new(), "é".to_owned()] {
        assert_eq!(refusal(&send(wrong).await), told(400, "invalid_field", "Idempotency-Key"));
    }
    let two = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let two = world.post("ada", &two, pulse(72.0).to_string()).await;
    assert_eq!(refusal(&two), told(400, "invalid_field", "Idempotency-Key"));
}

#[tokio::test]
async fn a_caller_without_a_token_is_refused_before_the_body_is_looked_at() {
    let world = World::new().await;
    let request = Request::post("/v1/measurements").body("nonsense".into()).expect("valid");
    assert_eq!(refusal(&world.send(request).await), told(401, "token_missing", ""));
}
