use axum::body::Body;
use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use healthmate_care::Clock;
use healthmate_protocol::{NotificationKind, Priority};
use healthmate_storage::NewNotification;
use serde_json::{Value, json};

use crate::http::tests::{Reply, World, id};

async fn told(world: &World, user: &str, titles: &[&str]) {
    for title in titles {
        let notification = NewNotification {
            id: world.clock.notification_id(),
            user: id(user),
            kind: NotificationKind::BreakGlass,
            priority: Priority::High,
            title: (*title).to_owned(),
            body: "MARKER-body".to_owned(),
            patient: None,
            expires_at: None,
        };
        world.app.store.notify(vec![notification]).await.expect("stored");
    }
}

async fn see(world: &World, user: &str, id: &str) -> Reply {
    let request = Request::post(format!("/v1/notifications/{id}/seen"))
        .header(AUTHORIZATION, format!("Bearer {}", world.token(user)));
    world.send(request.body(Body::empty()).expect("valid")).await
}

fn titles(list: &Value) -> Vec<&str> {
    let list = list["notifications"].as_array().expect("a list");
    list.iter().map(|one| one["title"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn pages_come_newest_first_and_only_to_whom_they_are_for() {
    let world = World::new().await;
    told(&world, "nora", &["1", "2", "3"]).await;
    told(&world, "ada", &["other"]).await;
    let first = world.get("/v1/notifications?limit=2", Some("nora")).await.json();
    assert_eq!((titles(&first), &first["unseen"]), (vec!["3", "2"], &json!(3)));
    let next = first["next_cursor"].as_str().expect("more");
    let last = world.get(&format!("/v1/notifications?limit=2&cursor={next}"), Some("nora")).await.json();
    assert_eq!((titles(&last), last.get("next_cursor")), (vec!["1"], None));
    assert_eq!(titles(&world.get("/v1/notifications", Some("dora")).await.json()), Vec::<&str>::new());
    assert_eq!(world.get("/v1/notifications", None).await.code(), "token_missing");
    for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor")] {
        let reply = world.get(&format!("/v1/notifications?{query}"), Some("nora")).await;
        assert_eq!((reply.status, reply.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn a_notification_is_seen_by_whom_it_is_for() {
    let world = World::new().await;
    told(&world, "nora", &["one"]).await;
    let list = world.get("/v1/notifications", Some("nora")).await.json();
    let name = list["notifications"][0]["id"].as_str().expect("an id");
    assert_eq!(see(&world, "dora", name).await.code(), "not_found");
    assert_eq!(see(&world, "nora", "not-an-id").await.code(), "invalid_field");
    assert_eq!(see(&world, "nora", "0").await.code(), "not_found");
    for _ in 0..2 {
        assert_eq!(see(&world, "nora", name).await.status, 204);
        let list = world.get("/v1/notifications", Some("nora")).await.json();
        assert_eq!(
            (&list["unseen"], &list["notifications"][0]["seen_at"]),
            (&json!(0), &json!("2026-11-23T07:00:00.000000Z"))
        );
        world.clock.advance_millis(1);
    }
}
