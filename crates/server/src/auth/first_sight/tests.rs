use healthmate_care::Actor;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::config::Settings;
use crate::http::tests::world::{NOW, World, id};

const SHARED: &str = "the secret of an issuer for tests, of 32 bytes or more";

/// A world with an issuer that names users by `sub` and roles by `r`.
async fn world(rest: &str) -> World {
    let text = format!(
        "[[auth.issuers]]\nname = \"clinic\"\niss = \"clinic\"\naudience = \"healthmate\"\nalgorithms = [\"HS256\"]\n\
         secret = \"{SHARED}\"\nrole_claim = \"r\"\n\
         roles = {{ p = \"patient\", n = \"nurse\", d = \"doctor\", a = \"admin\" }}\n{rest}"
    );
    World::with(toml::from_str::<Settings>(&text).expect("settings")).await
}

fn token(sub: &str, role: &str) -> String {
    let now: healthmate_protocol::Timestamp = NOW.parse().expect("valid");
    let exp = now.as_micros() / 1_000_000 + 60;
    let claims: Value = json!({
        "iss": "clinic", "aud": "healthmate", "exp": exp, "sub": sub, "r": role, "name": "Zoë Neu"
    });
    let key = EncodingKey::from_secret(SHARED.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("signed")
}

/// What `/v1/me` says to this token: the role, or the code of the refusal.
async fn me(world: &World, sub: &str, role: &str) -> String {
    let reply = world.get_with_token("/v1/me", &token(sub, role)).await;
    if reply.status == 200 { reply.json()["role"].as_str().expect("a role").to_owned() } else { reply.code() }
}

#[tokio::test]
async fn who_is_unknown_is_refused_unless_the_setting_says_create() {
    let world = world("").await;
    assert_eq!(me(&world, "zoe", "n").await, "user_unknown");
    assert_eq!(me(&world, "nora", "n").await, "nurse");
    assert_eq!(me(&world, "gone", "n").await, "user_inactive");
    assert_eq!(world.app.store.user(&id("zoe")).await.expect("read"), None);
}

#[tokio::test]
async fn who_is_seen_for_the_first_time_is_added_once_with_a_role_that_may_be_given() {
    let world = world("on_unknown_user = \"create\"").await;
    for _ in 0..2 {
        assert_eq!(me(&world, "zoe", "n").await, "nurse");
    }
    let zoe = world.app.store.user(&id("zoe")).await.expect("read").expect("added");
    assert_eq!((zoe.role, zoe.name.as_str(), zoe.device_of), (Role::Nurse, "Zoë Neu", None));
    let trail = world.app.store.audit_after(0, 1000).await.expect("read");
    let added = trail.iter().filter(|entry| entry.record.object.as_deref() == Some("user:zoe"));
    let added: Vec<_> = added.map(|entry| entry.record.by.actor.clone()).collect();
    assert_eq!(added, [Actor::Server]);
    assert_eq!(me(&world, "eve", "a").await, "token_role", "admin is not listed");
    assert_eq!(world.app.store.user(&id("eve")).await.expect("read"), None);
    assert_eq!(me(&world, "root", "a").await, "admin", "it is so already");
}

#[tokio::test]
async fn another_role_than_the_stored_one_is_stored_once_where_the_token_may_give_both() {
    let world = world("").await;
    for _ in 0..2 {
        assert_eq!(me(&world, "nora", "d").await, "doctor");
    }
    let nora = world.app.store.user(&id("nora")).await.expect("read").expect("known");
    assert_eq!(nora.role, Role::Doctor);
    let trail = world.app.store.audit_after(0, 1000).await.expect("read");
    let of_nora = trail.iter().filter(|entry| entry.record.object.as_deref() == Some("user:nora"));
    let changed = of_nora.filter(|entry| entry.record.by.actor == Actor::Server);
    assert_eq!(changed.map(|entry| entry.record.reason.as_deref()).collect::<Vec<_>>(), [Some("doctor")]);
    for (sub, role, why) in [
        ("nora", "a", "admin is not listed"),
        ("root", "n", "who cannot make an administrator cannot unmake one"),
        ("ada", "n", "a patient stays one"),
        ("dora", "p", "nobody becomes a patient"),
        ("ring", "n", "a device stays one"),
    ] {
        assert_eq!(me(&world, sub, role).await, "token_role", "{why}");
    }
    assert_eq!(me(&world, "gone", "d").await, "user_inactive");
}

#[tokio::test]
async fn of_many_that_come_at_once_one_adds_the_user() {
    let world = world("on_unknown_user = \"create\"\ngrantable_roles = [\"admin\"]").await;
    let (a, b, c) = tokio::join!(me(&world, "max", "a"), me(&world, "max", "a"), me(&world, "max", "a"));
    assert_eq!([a, b, c], ["admin"; 3]);
    // Somebody was quicker, after it was seen that there is no such user.
    let claims = world.app.verifier.verify(&token("max", "a"), NOW.parse().expect("valid")).expect("good");
    let late = user_of(&world.app, &claims, Ok(None), None).await.expect("the one there is");
    assert_eq!(late.id, id("max"));
}
