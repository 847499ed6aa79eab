use healthmate_care::{By, CareRelation, User};
use serde_json::Value;

use crate::http::tests::{Failing, NOW, Reply, World, id};

async fn log(world: &World, user: &str, query: &str) -> Reply {
    world.get(&format!("/v1/patients/ada/access-log{query}"), Some(user)).await
}

/// Each as "who action object outcome".
fn lines(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let json = reply.json();
    let word = |entry: &Value, key| entry[key].as_str().unwrap_or("-").to_owned();
    let line = |entry: &Value| ["user", "action", "object", "outcome"].map(|key| word(entry, key)).join(" ");
    json["accesses"].as_array().expect("a list").iter().map(line).collect()
}

#[tokio::test]
async fn a_patient_sees_who_read_and_who_was_refused() {
    let world = World::new().await;
    for (user, status) in [("nora", 200), ("dora", 403)] {
        let path = "/v1/patients/ada/measurements?metric=heart_rate";
        assert_eq!(world.get(path, Some(user)).await.status, status);
    }
    let reply = log(&world, "ada", "?limit=2").await;
    assert_eq!(
        lines(&reply),
        ["dora read measurements:heart_rate denied", "nora read measurements:heart_rate success"]
    );
    assert_eq!(reply.json()["accesses"][1]["reason"], "care_team");
    let again = log(&world, "ada", "?limit=1").await;
    assert_eq!(lines(&again), ["ada read access_log success"], "a look at the log is one, too");
    assert_eq!(log(&world, "root", "").await.status, 200, "an administrator reviews");
}

#[tokio::test]
async fn pages_join_and_times_filter() {
    let world = World::new().await;
    for _ in 0..5 {
        world.get("/v1/patients/ada/measurements", Some("nora")).await;
    }
    let reads = |reply: &Reply| lines(reply).iter().filter(|line| line.starts_with("nora read")).count();
    let (mut found, mut query) = (0, "?limit=2".to_owned());
    while let reply = log(&world, "ada", &query).await
        && !lines(&reply).is_empty()
    {
        found += reads(&reply);
        let Some(cursor) = reply.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(found, 5);
    assert_eq!(lines(&log(&world, "ada", "?to=2020-01-01T00:00:00Z").await), Vec::<String>::new());
    assert_eq!(reads(&log(&world, "ada", "?from=2020-01-01T00:00:00Z").await), 5);
}

#[tokio::test]
async fn others_and_nonsense_are_refused() {
    let world = World::new().await;
    for user in ["nora", "dora", "bob", "ring"] {
        assert_eq!((log(&world, user, "").await.status, user), (403, user));
    }
    for query in ["?limit=0", "?limit=1001", "?cursor=x", "?from=yesterday", "?limit=1&limit=2"] {
        assert_eq!((log(&world, "ada", query).await.status, query), (400, query));
    }
    let failing = World::failing(Failing::Unavailable).await;
    assert_eq!(log(&failing, "ada", "").await.status, 503, "a look that cannot be recorded is refused");
}

async fn user(world: &World, name: &str) -> User {
    world.app.store.user(&id(name)).await.expect("read").expect("known")
}

#[tokio::test]
async fn those_who_looked_and_those_who_were_let_in_have_names() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/patients/ada/measurements", Some("dora")).await.status, 403);
    let by = By::user(&user(&world, "ada").await, None, NOW.parse().expect("valid"));
    let relation = CareRelation::new(id("ada"), id("bob"), by.at);
    world.app.store.add_care_relation(relation, by).await.expect("added");
    let names = log(&world, "ada", "?limit=2").await.json()["names"].clone();
    let called = |id: &str| names[id].as_str().expect("a name").to_owned();
    for known in ["ada", "bob", "dora"] {
        assert_eq!(called(known), user(&world, known).await.name);
    }
    assert_eq!(names.as_object().map(serde_json::Map::len), Some(3), "nobody else: {names}");
}
