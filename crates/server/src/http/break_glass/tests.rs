use axum::body::Body;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use healthmate_care::{AuditAction, By, CareRelation};
use healthmate_protocol::UserId;
use serde_json::{Value, json};

use crate::http::tests::{Failing, Reply, World};

const REASON: &str = "MARKER-reason found unconscious";

async fn send(world: &World, method: &str, path: &str, user: &str, body: &str) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, format!("Bearer {}", world.token(user)))
        .header(CONTENT_TYPE, "application/json");
    world.send(request.body(Body::from(body.to_owned())).expect("valid")).await
}

async fn open(world: &World, user: &str, patient: &str, body: Value) -> Reply {
    send(world, "POST", &format!("/v1/patients/{patient}/break-glass"), user, &body.to_string()).await
}

async fn opened(world: &World, user: &str) -> Value {
    let reply = open(world, user, "ada", json!({ "reason": REASON })).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()
}

/// The break-glass records of the trail: action, access, and what is said of them.
async fn trail(world: &World) -> Vec<String> {
    let entries = world.app.store.audit_after(0, 1000).await.expect("read");
    let kinds = [AuditAction::BreakGlassStarted, AuditAction::BreakGlassEnded];
    let of = entries.into_iter().map(|entry| entry.record).filter(|record| kinds.contains(&record.action));
    of.map(|record| {
        assert!(!format!("{record:?}").contains("MARKER"), "a reason is in the trail");
        let actor = record.by.actor.user().map_or("-", |user| user.as_str()).to_owned();
        let access = record.by.break_glass.expect("named");
        format!("{} {access} by {actor} on {}", record.action, record.patient.expect("whose"))
    })
    .collect()
}

#[tokio::test]
async fn a_doctor_opens_a_patient_and_everybody_concerned_is_told() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/patients/ada/measurements", Some("dora")).await.status, 403);
    let access = opened(&world, "dora").await;
    assert_eq!(
        (&access["member"], &access["patient"], &access["told"]),
        (&json!("dora"), &json!("ada"), &json!(2))
    );
    assert_eq!(access["ends_at"], "2026-11-23T08:00:00.000000Z");
    assert_eq!(world.get("/v1/patients/ada/measurements", Some("dora")).await.status, 200);
    let patients = world.get("/v1/patients", Some("dora")).await.json();
    let by = json!({ "id": access["id"], "ends_at": access["ends_at"] });
    assert_eq!(
        patients["patients"],
        json!([{ "id": "ada", "name": "Ada Lovelace", "manages": false, "break_glass": by }])
    );
    assert_eq!(world.get("/v1/patients/bob/measurements", Some("dora")).await.status, 403, "nobody else's");
    for (user, whose) in [("ada", "your data"), ("root", "the patient ada")] {
        let told = world.get("/v1/notifications", Some(user)).await.json();
        assert_eq!(told["unseen"], 1, "{user}");
        let notice = &told["notifications"][0];
        assert_eq!((&notice["priority"], &notice["kind"]), (&json!("urgent"), &json!("break_glass")));
        let expected = format!(
            "Dora (dora, doctor) opened {whose} in an emergency, until 2026-11-23T08:00:00.000000Z. Reason: {REASON}"
        );
        assert_eq!(notice["body"], expected);
    }
    assert_eq!(world.get("/v1/notifications", Some("nora")).await.json()["unseen"], 0);
    let id = access["id"].as_str().expect("an id");
    assert_eq!(trail(&world).await, [format!("break_glass_started {id} by dora on ada")]);
}

/// A place that begins tomorrow opens nothing today, and takes nothing from an emergency.
#[tokio::test]
async fn who_has_a_place_that_has_not_begun_opens_a_patient_all_the_same() {
    let world = World::new().await;
    let id = |text| UserId::new(text).expect("valid");
    let tomorrow = "2026-11-24T07:00:00Z".parse().expect("valid");
    let place = CareRelation::new(id("ada"), id("dora"), tomorrow);
    let by = By::command_line(world.app.clock.now());
    world.app.store.add_care_relation(place, by).await.expect("stored");
    assert_eq!(world.get("/v1/patients/ada/measurements", Some("dora")).await.status, 403);
    opened(&world, "dora").await;
    assert_eq!(world.get("/v1/patients/ada/measurements", Some("dora")).await.status, 200);
}

#[tokio::test]
async fn the_reason_and_the_time_are_taken_at_their_limits_and_refused_past_them() {
    let world = World::with_access(|access| access.break_glass_per_day = 100).await;
    let minutes = |minutes: u64| json!({ "reason": REASON, "duration_minutes": minutes });
    let reason = |length: usize| json!({ "reason": format!("  {}\n", "ä".repeat(length)) });
    let cases = [
        (minutes(1), None),
        (minutes(240), None),
        (minutes(0), Some("duration_minutes")),
        (minutes(241), Some("duration_minutes")),
        (minutes(u64::from(u32::MAX) + 1), Some("duration_minutes")),
        (reason(10), None),
        (reason(500), None),
        (reason(9), Some("reason")),
        (reason(501), Some("reason")),
        (json!({}), Some("reason")),
        (json!({ "reason": REASON, "because": 1 }), Some("because")),
    ];
    for (body, wrong) in cases {
        let reply = open(&world, "dora", "ada", body.clone()).await;
        assert_eq!(reply.status, if wrong.is_some() { 400 } else { 201 }, "{body}: {}", reply.body);
        if wrong.is_some() {
            assert_eq!(reply.json()["field"].as_str(), wrong, "{body}");
            continue;
        }
        let path = format!("/v1/patients/ada/break-glass/{}", reply.json()["id"].as_str().expect("an id"));
        assert_eq!(send(&world, "DELETE", &path, "dora", "").await.status, 204);
    }
}

#[tokio::test]
async fn only_doctors_and_nurses_open_and_only_patients_are_opened() {
    let world = World::new().await;
    let body = || json!({ "reason": REASON });
    for user in ["ada", "bob", "ring", "root", "past"] {
        let reply = open(&world, user, "ada", body()).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "access_denied"), "{user}");
    }
    assert_eq!(open(&world, "gone", "ada", body()).await.code(), "user_inactive");
    for patient in ["nora", "nobody"] {
        assert_eq!(open(&world, "dora", patient, body()).await.code(), "not_found", "{patient}");
    }
    assert_eq!(open(&world, "nora", "bob", body()).await.status, 201);
    assert_eq!(trail(&world).await.len(), 1);
}

#[tokio::test]
async fn nobody_opens_more_than_the_settings_say() {
    let world = World::with_access(|access| {
        (access.break_glass_at_once, access.break_glass_per_day) = (1, 2);
    })
    .await;
    let again =
        async || open(&world, "dora", "ada", json!({ "reason": REASON, "duration_minutes": 1 })).await;
    assert_eq!(again().await.status, 201);
    let refused = again().await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_requests"));
    assert!(refused.json()["detail"].as_str().expect("text").starts_with("you hold 1 emergency accesses"));
    world.clock.advance_millis(60_000);
    assert_eq!(again().await.status, 201);
    world.clock.advance_millis(60_000);
    let refused = again().await;
    assert!(refused.json()["detail"].as_str().expect("text").contains("2 times in the last 24 hours"));
    assert_eq!(
        open(&world, "nora", "ada", json!({ "reason": REASON })).await.status,
        201,
        "each has their own"
    );
}

#[tokio::test]
async fn it_ends_by_itself_and_by_whoever_may_end_it() {
    let world = World::with_access(|access| access.break_glass_at_once = 10).await;
    let reads = async || world.get("/v1/patients/ada/measurements", Some("dora")).await.status;
    opened(&world, "dora").await;
    world.clock.advance_millis(3_600_000 - 1);
    assert_eq!(reads().await, 200, "until the last moment");
    world.clock.advance_millis(1);
    assert_eq!(reads().await, 403);
    assert_eq!(world.get("/v1/patients", Some("dora")).await.json()["patients"], json!([]));
    for (user, status) in [("nora", 404), ("bob", 404), ("dora", 204), ("ada", 204), ("root", 204)] {
        let access = opened(&world, "dora").await;
        let path = format!("/v1/patients/ada/break-glass/{}", access["id"].as_str().expect("an id"));
        assert_eq!(send(&world, "DELETE", &path, user, "").await.status, status, "{user}");
        assert_eq!(reads().await == 200, status == 404, "after {user}");
        if status == 404 {
            assert_eq!(send(&world, "DELETE", &path, "dora", "").await.status, 204);
        }
        assert_eq!(send(&world, "DELETE", &path, "dora", "").await.status, 204, "once more");
    }
    for path in ["/v1/patients/ada/break-glass/x", "/v1/patients/a%20b/break-glass/x"] {
        assert_eq!(send(&world, "DELETE", path, "dora", "").await.code(), "invalid_field", "{path}");
    }
    let ended = trail(&world).await.into_iter().filter(|line| line.starts_with("break_glass_ended")).count();
    assert_eq!(ended, 5, "each once; the one that ended by itself is for the job");
}

#[tokio::test]
async fn the_patient_and_the_officers_see_all_and_others_their_own() {
    let world =
        World::with_access(|access| access.privacy_officers = vec![crate::http::tests::id("past")]).await;
    opened(&world, "dora").await;
    world.clock.advance_millis(1);
    opened(&world, "nora").await;
    let members = async |user: &str| {
        let reply = world.get("/v1/patients/ada/break-glass", Some(user)).await;
        let accesses = reply.json()["accesses"].as_array().cloned();
        let members = accesses.unwrap_or_default().into_iter().map(|access| {
            assert_eq!((&access["reason"], &access["open"]), (&json!(REASON), &json!(true)));
            access["member"].as_str().expect("text").to_owned()
        });
        (reply.status, members.collect::<Vec<_>>())
    };
    for user in ["ada", "past"] {
        assert_eq!(members(user).await, (200, vec!["nora".to_owned(), "dora".to_owned()]), "{user}");
    }
    assert_eq!(members("dora").await, (200, vec!["dora".to_owned()]));
    for user in ["bob", "ring", "root"] {
        assert_eq!(members(user).await.0, 403, "{user}");
    }
    let expected = [
        "ada success own",
        "past success privacy_officer",
        "dora success clinician",
        "bob denied not_clinician",
        "ring denied not_clinician",
        "root denied not_clinician",
    ];
    assert_eq!(world.looks("break_glass", "ada").await, expected);
    assert_eq!(world.get("/v1/notifications", Some("past")).await.json()["unseen"], 2);
    assert_eq!(world.get("/v1/notifications", Some("root")).await.json()["unseen"], 0, "no officer any more");
}

/// Grant, notifications and record are there together, or none of them.
#[tokio::test]
async fn what_cannot_be_stored_opens_nothing_and_tells_nobody() {
    for failing in [Failing::Full, Failing::Unavailable] {
        let world = World::failing(failing).await;
        let reply = open(&world, "dora", "ada", json!({ "reason": REASON })).await;
        assert_eq!(reply.status, 503);
        assert!(!reply.body.contains("MARKER"));
        assert_eq!(world.get("/v1/patients/ada/measurements", Some("dora")).await.status, 403);
        assert_eq!(world.get("/v1/notifications", Some("ada")).await.json()["unseen"], 0);
        assert_eq!(trail(&world).await, Vec::<String>::new());
    }
}
