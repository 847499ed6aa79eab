//! Who gets in, and what they may hear.

use healthmate_care::CareRelation;
use healthmate_protocol::{ErrorCode, ServerMessage};

use crate::client::{Client, measurement};
use crate::server::{StoreKind, TestServer, by, id};

#[tokio::test]
async fn a_token_is_taken_in_each_of_three_ways() {
    let server = TestServer::start().await;
    let token = server.token("ana");
    let bearer = format!("Bearer {token}");
    let offered = format!("healthmate.v1, bearer.{token}");
    for header in [("authorization", bearer.as_str()), ("sec-websocket-protocol", offered.as_str())] {
        let mut client = Client::try_open(&server.url("/ws/health"), &[header]).await.expect("accepted");
        assert_eq!(client.next().await.name(), "connection_established");
        assert_eq!(client.next().await.name(), "authentication_success", "{}", header.0);
        let chosen = (header.0 == "sec-websocket-protocol").then_some("healthmate.v1");
        assert_eq!(client.protocol.as_deref(), chosen);
    }
    server.connect("ana").await;
    server.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_told_why_and_closed_for_good() {
    let server = TestServer::start().await;
    let now = server.app.clock.now();
    server.app.store.set_active(&id("ben"), false, by()).await.expect("known");
    let expired = server.app.verifier.issue(&id("ana"), 60, now.plus_millis(-3_600_000));
    let cases = [
        ("garbage".to_owned(), ErrorCode::TokenMalformed),
        (expired, ErrorCode::TokenExpired),
        (server.token("nobody"), ErrorCode::UserUnknown),
        (server.token("ben"), ErrorCode::UserInactive),
        ("x".repeat(9000), ErrorCode::TokenTooLarge),
    ];
    for (token, expected) in cases {
        let mut client = Client::open(&server.url("/ws/health")).await;
        client.send(&format!(r#"{{"type":"authenticate","token":"{token}"}}"#)).await;
        let ServerMessage::AuthenticationFailed(failed) = client.next().await else { panic!("{expected:?}") };
        assert_eq!(failed.code, expected);
        assert_eq!(client.close_code().await, 4500);
    }
    server.stop().await;
}

#[tokio::test]
async fn other_peoples_topics_are_denied_by_every_spelling() {
    let server = TestServer::start().await;
    let mut nora = server.connect("nora").await;
    for topic in ["health:ben", "health:nobody", "health:nora", "health_updates"] {
        nora.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
        let ServerMessage::SubscriptionDenied(denied) = nora.next().await else {
            panic!("{topic} was granted")
        };
        assert_eq!((denied.topic.as_str(), denied.code), (topic, ErrorCode::AccessDenied));
    }
    for topic in ["notifications:ana", "notifications:nobody"] {
        nora.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
        let ServerMessage::SubscriptionDenied(denied) = nora.next().await else {
            panic!("{topic} was granted")
        };
        assert_eq!(denied.code, ErrorCode::AccessDenied, "{topic}");
    }
    for topic in ["chat", "ward:w1", "chat:c1"] {
        nora.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
        let ServerMessage::SubscriptionDenied(denied) = nora.next().await else {
            panic!("{topic} was granted")
        };
        assert_eq!(denied.code, ErrorCode::TopicNotServed, "{topic}");
    }
    for topic in ["HEALTH:ana", "health:ana ", "health:", "health:ana:x", "health:ana\\u0000"] {
        nora.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
        let ServerMessage::Error(error) = nora.next().await else { panic!("{topic} was granted") };
        assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidField, Some("topic")));
    }
    nora.subscribe("health:ana", None).await;
    server.stop().await;
}

#[tokio::test]
async fn administrators_and_foreign_devices_read_and_write_nothing() {
    let server = TestServer::start().await;
    for user in ["ada", "watch-ben", "ben"] {
        let mut client = server.connect(user).await;
        client.send(r#"{"type":"subscribe","topic":"health:ana"}"#).await;
        assert_eq!(client.next().await.name(), "subscription_denied", "{user}");
        client.send(r#"{"type":"get_health_data","patient":"ana"}"#).await;
        let ServerMessage::Error(error) = client.next().await else { panic!("{user} reads ana") };
        assert_eq!(error.code, ErrorCode::AccessDenied, "{user}");
        client
            .send(&format!(r#"{{"type":"health_update","patient":"ana","data":{}}}"#, measurement(1)))
            .await;
        let ServerMessage::Error(error) = client.next().await else { panic!("{user} writes ana") };
        assert_eq!(error.code, ErrorCode::AccessDenied, "{user}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_relation_that_ends_ends_its_subscriptions() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let store = &server.app.store;
        // By its own time.
        let mut nora = server.connect("nora").await;
        let starts_at = server.app.clock.now().plus_millis(-1000);
        let ends_at = Some(starts_at.plus_millis(2000));
        let relation = CareRelation { ends_at, ..CareRelation::new(id("ben"), id("nora"), starts_at) };
        store.add_care_relation(relation, by()).await.expect("known users");
        nora.subscribe("health:ben", None).await;
        nora.subscribe("health:ana", None).await;
        let ServerMessage::SubscriptionDenied(denied) = nora.next().await else { panic!("access went on") };
        assert_eq!((denied.topic.as_str(), denied.code), ("health:ben", ErrorCode::AccessDenied));
        // Because somebody ended it.
        store.remove_care_relation(&id("ana"), &id("nora"), by()).await.expect("there was one");
        let ServerMessage::SubscriptionDenied(denied) = nora.next().await else { panic!("access went on") };
        assert_eq!(denied.topic, "health:ana");
        let mut device = server.connect("watch-ana").await;
        device.record([1]).await;
        nora.send(r#"{"type":"ping"}"#).await;
        assert_eq!(nora.next().await.name(), "pong", "and no event before it");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_disabled_user_is_out_within_a_moment() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut ben = server.connect("ben").await;
        server.app.store.set_active(&id("ben"), false, by()).await.expect("known");
        let ServerMessage::AuthenticationFailed(failed) = ben.next().await else { panic!("ben stays") };
        assert_eq!(failed.code, ErrorCode::UserInactive);
        assert_eq!(ben.close_code().await, 4500);
        server.stop().await;
    }
}

/// What could not be decided when access ended, because the store could not be read, is decided when it can.
#[tokio::test]
async fn access_that_ends_while_the_store_cannot_be_read_ends_when_it_can() {
    let server = TestServer::start_with(StoreKind::Sqlite, |_| {}).await;
    let mut nora = server.connect("nora").await;
    nora.subscribe("health:ana", None).await;
    let mut ben = server.connect("ben").await;
    // Care teams cannot be read from the very change on that ends one.
    server.sql(
        "BEGIN IMMEDIATE; DELETE FROM care_relation WHERE patient = 'ana' AND member = 'nora';
        UPDATE user SET active = 0 WHERE id = 'ben'; ALTER TABLE care_relation RENAME TO hidden; COMMIT",
    );
    assert_eq!(ben.next().await.name(), "authentication_failed", "the change was seen");
    nora.send(r#"{"type":"get_health_data","patient":"ana"}"#).await;
    let ServerMessage::Error(error) = nora.next().await else { panic!("access was decided") };
    assert_eq!(error.code, ErrorCode::StorageUnavailable);
    server.sql("ALTER TABLE hidden RENAME TO care_relation");
    let ServerMessage::SubscriptionDenied(denied) = nora.next().await else { panic!("access went on") };
    assert_eq!((denied.topic.as_str(), denied.code), ("health:ana", ErrorCode::AccessDenied));
    server.stop().await;
}

#[tokio::test]
async fn who_was_let_in_before_is_refused_within_a_moment_and_let_in_again_at_once() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let store = &server.app.store;
        let relation = store.care_relation(&id("ana"), &id("nora")).await.expect("read").expect("there");
        for _ in 0..2 {
            // Known by the second time.
            assert_eq!(enters(&server, "nora", "health:ana").await, "subscription_success");
            assert_eq!(enters(&server, "nora", "health:ben").await, "subscription_denied");
        }
        store
            .add_care_relation(CareRelation { patient: id("ben"), ..relation.clone() }, by())
            .await
            .expect("known users");
        assert_eq!(enters(&server, "nora", "health:ben").await, "subscription_success");
        store.remove_care_relation(&id("ana"), &id("nora"), by()).await.expect("there was one");
        while enters(&server, "nora", "health:ana").await != "subscription_denied" {}
        store.add_care_relation(relation, by()).await.expect("known users");
        assert_eq!(enters(&server, "nora", "health:ana").await, "subscription_success");
        store.set_active(&id("nora"), false, by()).await.expect("known");
        while enters(&server, "nora", "health:ana").await != "authentication_failed" {}
        store.set_active(&id("nora"), true, by()).await.expect("known");
        assert_eq!(enters(&server, "nora", "health:ana").await, "subscription_success");
        server.stop().await;
    }
}

/// Signs in on a new connection and subscribes; says how that ended.
async fn enters(server: &TestServer, user: &str, topic: &str) -> &'static str {
    let mut client = Client::open(&server.url("/ws/combined")).await;
    client.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token(user))).await;
    let signed_in = client.next().await.name();
    if signed_in != "authentication_success" {
        return signed_in;
    }
    client.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
    client.next().await.name()
}

#[tokio::test]
async fn no_token_in_time_closes() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.authenticate_within_s = 1;
    })
    .await;
    let mut client = Client::open(&server.url("/ws/health")).await;
    assert_eq!(client.close_code().await, 4501);
    server.stop().await;
}
