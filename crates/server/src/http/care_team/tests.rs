use axum::body::Body;
use axum::http::{Method, Request};
use healthmate_care::{AuditAction, CareRelation, Scope, Scopes};
use healthmate_protocol::Timestamp;
use serde_json::{Value, json};

use crate::http::tests::{Failing, NOW, Reply, World, id};

const TEAM: &str = "/v1/patients/ada/care-team";

async fn send(world: &World, user: &str, method: Method, path: &str, body: &Value) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", world.token(user)))
        .header("content-type", "application/json");
    world.send(request.body(Body::from(body.to_string())).expect("valid")).await
}

async fn put(world: &World, user: &str, member: &str, body: Value) -> Reply {
    send(world, user, Method::PUT, &format!("{TEAM}/{member}"), &body).await
}

async fn delete(world: &World, user: &str, member: &str) -> Reply {
    send(world, user, Method::DELETE, &format!("{TEAM}/{member}"), &Value::Null).await
}

fn by() -> healthmate_care::By {
    healthmate_care::By::command_line(now())
}

fn now() -> Timestamp {
    NOW.parse().expect("valid")
}

/// A world where `nora` manages ada's care team until the end of the year, and was given vitals besides.
async fn managed() -> World {
    let world = World::new().await;
    let relation = CareRelation {
        scopes: Scopes::from_iter([Scope::Vitals, Scope::Manage]),
        ends_at: Some("2026-12-31T00:00:00Z".parse().expect("valid")),
        ..CareRelation::new(id("ada"), id("nora"), "2026-01-01T00:00:00Z".parse().expect("valid"))
    };
    world.app.store.add_care_relation(relation, by()).await.expect("known users");
    world
}

#[tokio::test]
async fn the_patient_managers_and_administrators_see_the_team() {
    let world = managed().await;
    let expected = json!({
        "member": "nora", "name": "Nora", "role": "nurse", "relation": "other", "scopes": ["vitals", "manage"],
        "starts_at": "2026-01-01T00:00:00.000000Z", "ends_at": "2026-12-31T00:00:00.000000Z", "holds": true,
    });
    for user in ["ada", "nora", "root"] {
        let reply = world.get(TEAM, Some(user)).await;
        assert_eq!(reply.status, 200, "{user}");
        let team = reply.json();
        let members = team["members"].as_array().expect("a list");
        let ids: Vec<_> = members.iter().map(|member| member["member"].as_str().expect("an id")).collect();
        assert_eq!((&team["patient"], ids), (&json!("ada"), vec!["gone", "nora", "past", "root"]));
        assert_eq!(members[1], expected);
        assert_eq!(members[2]["holds"], false);
    }
    for (user, reason) in
        [("bob", "not_in_care_team"), ("dora", "not_in_care_team"), ("past", "ended"), ("ring", "device")]
    {
        for reply in [
            world.get(TEAM, Some(user)).await,
            put(&world, user, "dora", json!({})).await,
            delete(&world, user, "nora").await,
        ] {
            assert_eq!((reply.status, reply.code().as_str()), (403, "access_denied"), "{user}");
            assert_eq!(reply.json()["reason"], reason, "{user}");
        }
    }
    assert_eq!(world.get(TEAM, None).await.code(), "token_missing");
    let expected = [
        "ada success own",
        "nora success care_team",
        "root success administers",
        "bob denied not_in_care_team",
        "dora denied not_in_care_team",
        "past denied ended",
        "ring denied device",
    ];
    assert_eq!(world.looks("care_team", "ada").await, expected);
    assert_eq!(World::new().await.get(TEAM, Some("nora")).await.json()["reason"], "scope_missing");
}

#[tokio::test]
async fn a_member_is_let_in_changed_and_taken_out_on_record() {
    let world = World::new().await;
    let reply = put(&world, "ada", "dora", json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(
        reply.json(),
        json!({
            "member": "dora", "name": "Dora", "role": "doctor", "relation": "other",
            "scopes": ["vitals", "alerts", "chat", "medications", "symptoms", "records"],
            "starts_at": "2026-11-23T07:00:00.000000Z", "granted_by": "ada", "holds": true,
        })
    );
    world.clock.advance_millis(60_000);
    let body = json!({ "relation": "specialist", "scopes": ["alerts"], "ends_at": "2026-11-24T00:00:00Z" });
    let reply = put(&world, "root", "dora", body).await;
    assert_eq!(
        reply.json(),
        json!({
            "member": "dora", "name": "Dora", "role": "doctor", "relation": "specialist", "scopes": ["alerts"],
            "starts_at": "2026-11-23T07:00:00.000000Z", "ends_at": "2026-11-24T00:00:00.000000Z",
            "granted_by": "root", "holds": true,
        })
    );
    let denied = world.get("/v1/patients/ada/measurements", Some("dora")).await;
    assert_eq!(denied.json()["reason"], "scope_missing");
    let later = put(&world, "ada", "dora", json!({ "starts_at": "2026-12-01T00:00:00Z" })).await;
    assert_eq!((later.status, &later.json()["holds"]), (200, &json!(false)));
    assert_eq!(delete(&world, "ada", "dora").await.status, 204);
    assert_eq!(delete(&world, "ada", "dora").await.code(), "not_found");
    let entries = world.app.store.audit_after(0, 1000).await.expect("read");
    let of_dora = entries.iter().filter(|entry| entry.record.object.as_deref() == Some("user:dora"));
    let said: Vec<_> = of_dora
        .filter(|entry| entry.record.patient == Some(id("ada")))
        .map(|entry| (entry.record.action, entry.record.by.actor.user().map(ToString::to_string)))
        .collect();
    let expected = [
        (AuditAction::AccessGranted, "ada"),
        (AuditAction::AccessGranted, "root"),
        (AuditAction::AccessGranted, "ada"),
        (AuditAction::AccessEnded, "ada"),
    ];
    assert_eq!(said, expected.map(|(action, user)| (action, Some(user.to_owned()))));
}

#[tokio::test]
async fn who_manages_grants_no_more_than_they_hold() {
    let world = managed().await;
    let end = "2026-12-31T00:00:00Z";
    let granted =
        put(&world, "nora", "dora", json!({ "scopes": ["vitals", "manage"], "ends_at": end })).await;
    assert_eq!(granted.status, 200, "{}", granted.body);
    for (member, body, field) in [
        ("dora", json!({ "ends_at": end }), "scopes"),
        ("dora", json!({ "scopes": ["vitals", "alerts"], "ends_at": end }), "scopes"),
        ("nora", json!({ "scopes": ["vitals", "manage", "chat"], "ends_at": end }), "scopes"),
        ("dora", json!({ "scopes": ["vitals"] }), "ends_at"),
        ("dora", json!({ "scopes": ["vitals"], "ends_at": "2026-12-31T00:00:00.000001Z" }), "ends_at"),
        ("nora", json!({ "scopes": ["vitals"] }), "ends_at"),
    ] {
        let reply = put(&world, "nora", member, body.clone()).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "access_denied"), "{body}");
        assert_eq!(reply.json()["field"], field, "{body}");
    }
    assert_eq!(put(&world, "nora", "ada", json!({})).await.json()["field"], "member");
    assert_eq!(delete(&world, "nora", "ada").await.status, 404);
    // Narrowing and removing others is managing.
    assert_eq!(delete(&world, "nora", "past").await.status, 204);
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_with_its_field() {
    let world = World::new().await;
    for (body, field) in [
        (json!({ "relation": "boss" }), "relation"),
        (json!({ "relation": 1 }), "relation"),
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "scopes": ["everything"] }), "scopes"),
        (json!({ "scopes": "vitals" }), "scopes"),
        (json!({ "ends_at": NOW }), "ends_at"),
        (json!({ "ends_at": "2020-01-01T00:00:00Z", "starts_at": "2019-01-01T00:00:00Z" }), "ends_at"),
        (json!({ "ends_at": "2026-12-01T00:00:00Z", "starts_at": "2026-12-01T00:00:00Z" }), "ends_at"),
        (json!({ "starts_at": "soon" }), "starts_at"),
        (json!({ "until": "2026-12-01T00:00:00Z" }), "until"),
    ] {
        let reply = put(&world, "ada", "dora", body.clone()).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_field"), "{body}");
        assert_eq!(reply.json()["field"], field, "{body}");
    }
    for (member, status, code) in [
        ("ada", 400, "invalid_field"),
        ("ring", 400, "invalid_field"),
        ("root", 400, "invalid_field"),
        ("nobody", 404, "not_found"),
        ("a%20b", 400, "invalid_field"),
    ] {
        let reply = put(&world, "ada", member, json!({})).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{member}");
    }
    let unknown = send(&world, "root", Method::PUT, "/v1/patients/nobody/care-team/dora", &json!({})).await;
    assert_eq!(unknown.status, 404);
    let no_patient = send(&world, "root", Method::PUT, "/v1/patients/nora/care-team/dora", &json!({})).await;
    assert_eq!(no_patient.status, 404);
    assert_eq!(world.app.store.care_relation(&id("ada"), &id("dora")).await, Ok(None));
    let list = send(&world, "ada", Method::PUT, &format!("{TEAM}/dora"), &json!([])).await;
    assert_eq!(list.code(), "malformed_json");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_granted() {
    let world = World::failing(Failing::Full).await;
    let reply = put(&world, "ada", "dora", json!({})).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "storage_full"));
    let world = World::failing(Failing::Reading).await;
    assert_eq!(world.get(TEAM, Some("ada")).await.code(), "storage_unavailable");
}
