use serde_json::{Value, json};

use crate::http::tests::{Reply, World};

/// Ada's heart rate at each minute before seven, and one weight.
async fn furnished() -> World {
    let world = World::new().await;
    let pulse = |n: u32| json!({ "metric": "heart_rate", "value": 60 + n, "unit": "/min", "taken_at": format!("2026-11-23T06:{n:02}:00Z") });
    let mut batch: Vec<_> = (0..15).map(pulse).collect();
    batch.push(
        json!({ "metric": "body_weight", "value": 150, "unit": "lb", "taken_at": "2026-11-23T06:30:00Z" }),
    );
    let reply = world.post("ring", &[], json!({ "batch": batch }).to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    world
}

async fn history(world: &World, user: &str, query: &str) -> Reply {
    world.get(&format!("/v1/patients/ada/measurements{query}"), Some(user)).await
}

fn offsets(reply: &Reply) -> Vec<u64> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let json = reply.json();
    let measurements = json["measurements"].as_array().expect("a list");
    measurements.iter().filter_map(|measurement| measurement["offset"].as_u64()).collect()
}

#[tokio::test]
async fn a_page_holds_ten_newest_first_unless_asked_otherwise() {
    let world = furnished().await;
    assert_eq!(offsets(&history(&world, "ada", "").await), [16, 15, 14, 13, 12, 11, 10, 9, 8, 7]);
    assert_eq!(offsets(&history(&world, "nora", "?limit=1000").await).len(), 16);
    let weight = history(&world, "nora", "?metric=body_weight").await;
    let shown = &weight.json()["measurements"][0];
    assert_eq!((&shown["unit"], &shown["original"]["unit"]), (&json!("kg"), &json!("lb")));
    assert_eq!(weight.json().get("next_cursor"), None);
    let span = "?metric=heart_rate&from=2026-11-23T06:03:00Z&to=2026-11-23T08:05:00%2B02:00";
    assert_eq!(offsets(&history(&world, "ada", span).await), [5, 4]);
}

#[tokio::test]
async fn pages_follow_each_other_without_hole_or_repeat() {
    let world = furnished().await;
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = history(&world, "nora", &query).await;
        seen.extend(offsets(&page));
        let Some(cursor) = page.json().get("next_cursor").and_then(Value::as_str).map(str::to_owned) else {
            break;
        };
        query = format!("?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, (1..=16).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn who_may_read_and_who_may_not() {
    let world = furnished().await;
    for user in ["ada", "ring", "nora"] {
        assert_eq!(history(&world, user, "").await.status, 200, "{user}");
    }
    for user in ["bob", "dora", "root", "past"] {
        let foreign = history(&world, user, "").await;
        assert_eq!((foreign.status, foreign.code().as_str()), (403, "access_denied"), "{user}");
        let unknown = world.get("/v1/patients/nobody/measurements", Some(user)).await;
        // Whoever was let in once may know that it has ended; all others learn nothing.
        assert_eq!(foreign.body == unknown.body, user != "past", "{user}");
    }
    assert_eq!(history(&world, "gone", "").await.code(), "user_inactive");
    insta::assert_snapshot!(history(&world, "dora", "").await.body, @r#"{"type":"/problems/access_denied","title":"This user may not do this.","status":403,"detail":"you are not in this patient's care team","code":"access_denied","reason":"not_in_care_team","retry":false}"#);
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named() {
    let world = furnished().await;
    for (query, code, field) in [
        ("?limit=0", "invalid_field", "limit"),
        ("?limit=1001", "invalid_field", "limit"),
        ("?limit=many", "invalid_field", "limit"),
        ("?from=yesterday", "invalid_field", "from"),
        ("?to=2026-11-23", "invalid_field", "to"),
        ("?cursor=x", "invalid_field", "cursor"),
        ("?metric=mood", "unknown_metric", "metric"),
    ] {
        let reply = history(&world, "ada", query).await;
        assert_eq!((reply.code().as_str(), &reply.json()["field"]), (code, &json!(field)), "{query}");
    }
    assert_eq!(history(&world, "ada", "?limit=1&limit=2").await.code(), "invalid_field");
    let odd = world.get("/v1/patients/a%20b/measurements", Some("ada")).await;
    assert_eq!((odd.status, &odd.json()["field"]), (400, &json!("id")));
    assert_eq!(world.get("/v1/patients/%ff/measurements", Some("ada")).await.status, 400);
}
