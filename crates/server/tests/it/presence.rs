//! Who is there, and who is told. Sockets are dealt to the two shards in turn, so that news cross from one to the
//! other. Silence is shown by what comes next: announcements come in order.

use healthmate_protocol::server::{Presence, Present};
use healthmate_protocol::{CorrelationId, ErrorCode, ServerMessage};
use serde_json::json;

use crate::client::Client;
use crate::operators::ask;
use crate::recovery::{come_back, cut, watching};
use crate::server::{StoreKind, TestServer, by, id};

/// A server on which an absence of `grace_s` seconds is no event.
async fn server(grace_s: u32) -> TestServer {
    TestServer::start_with(StoreKind::Memory, |settings| settings.limits.presence_grace_s = grace_s).await
}

/// A connection of `user` that hears of who watches `ana`, and has heard of itself.
async fn listener(server: &TestServer, user: &str) -> Client {
    let mut client = server.connect(user).await;
    client.send(r#"{"type":"subscribe","topic":"health:ana","include":["presence"]}"#).await;
    assert_eq!(client.next().await.name(), "subscription_success");
    assert_eq!(news(&mut client).await, (user.to_owned(), Presence::Joined));
    client
}

/// A connection of `user` that hears `ana`, and nothing of presence.
async fn watcher(server: &TestServer, user: &str) -> Client {
    let mut client = server.connect(user).await;
    client.subscribe("health:ana", None).await;
    client
}

/// What is announced next.
async fn news(client: &mut Client) -> (String, Presence) {
    let envelope = client.envelope().await;
    let ServerMessage::PresenceUpdate(update) = &envelope.message else { panic!("{envelope:?}") };
    assert_eq!(envelope.topic.as_ref().map(ToString::to_string).as_deref(), Some("health:ana"));
    assert_eq!(envelope.offset, None);
    (update.user_id.to_string(), update.presence)
}

/// Who is there of the circle of `ana`, as `client` is told.
async fn present(client: &mut Client) -> Vec<Present> {
    client.send(r#"{"type":"get_presence","topic":"health:ana"}"#).await;
    match client.next().await {
        ServerMessage::PresenceResponse(response) => {
            assert_eq!(response.topic.to_string(), "health:ana");
            response.present
        }
        other => panic!("{other:?}"),
    }
}

fn shown(present: &[Present]) -> Vec<(&str, &str, bool)> {
    present.iter().map(|who| (who.user_id.as_str(), who.role.as_str(), who.watching)).collect()
}

/// How many open connections the server holds of `user`.
async fn connections(server: &TestServer, user: &str) -> usize {
    let (_, page) = ask(server, Some(user), "GET", "/ws/connections?state=authenticated").await;
    page["connections"].as_array().expect("a list").len()
}

#[tokio::test]
async fn who_comes_and_goes_is_announced_to_those_who_asked() {
    let server = server(1).await;
    let mut nora = listener(&server, "nora").await;
    let mut other = watcher(&server, "nora").await;
    let mut ana = watcher(&server, "ana").await;
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Joined));
    let there = present(&mut ana).await;
    assert_eq!(shown(&there)[0], ("ana", "patient", true));
    assert!(shown(&there).contains(&("nora", "nurse", true)), "{there:?}");
    drop(ana);
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Left));
    assert!(present(&mut nora).await.iter().all(|who| who.user_id != id("ana")));
    // Who did not ask was told nothing, and who ends its subscription is announced too.
    other.send(r#"{"type":"ping"}"#).await;
    assert_eq!(other.next().await.name(), "pong");
    let mut ana = watcher(&server, "ana").await;
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Joined));
    ana.send(r#"{"type":"unsubscribe","topic":"health:ana"}"#).await;
    assert_eq!(ana.next().await.name(), "unsubscription_success");
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Left));
    assert!(shown(&present(&mut nora).await).contains(&("ana", "patient", false)));
    server.stop().await;
}

#[tokio::test]
async fn a_reconnect_within_the_grace_time_is_no_event() {
    let server = server(300).await;
    let mut nora = listener(&server, "nora").await;
    let ana = watcher(&server, "ana").await;
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Joined));
    let before = present(&mut nora).await;
    assert_eq!(shown(&before), [("ana", "patient", true), ("nora", "nurse", true)]);
    drop(ana);
    while connections(&server, "ana").await > 0 {}
    assert_eq!(present(&mut nora).await, before, "it may come back");
    let mut ana = watcher(&server, "ana").await;
    assert_eq!(present(&mut ana).await, before, "and was there all along");
    let _device = watcher(&server, "watch-ana").await;
    assert_eq!(news(&mut nora).await, ("watch-ana".to_owned(), Presence::Joined), "and nothing before it");
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_goes_on_is_no_event_and_listens_on() {
    let server = server(300).await;
    let mut ana = listener(&server, "ana").await;
    let (nora, connection, session) = watching(&server, r#","include":["presence"]"#).await;
    assert_eq!(news(&mut ana).await, ("nora".to_owned(), Presence::Joined));
    cut(&server, nora, &connection).await;
    let (mut nora, resumed) = come_back(&server, "nora", &session, &json!({})).await;
    assert!(resumed);
    assert_eq!(nora.next().await.name(), "subscription_success");
    let _device = watcher(&server, "watch-ana").await;
    for client in [&mut ana, &mut nora] {
        assert_eq!(news(client).await, ("watch-ana".to_owned(), Presence::Joined), "and nothing before it");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_of_one_user_are_one_presence() {
    let server = server(0).await;
    let mut nora = listener(&server, "nora").await;
    let (first, second) = (watcher(&server, "ana").await, watcher(&server, "ana").await);
    let mut third = server.connect("ana").await;
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Joined));
    third.send(r#"{"type":"unsubscribe","topic":"health:ana"}"#).await;
    assert_eq!(third.next().await.name(), "error", "it did not watch");
    drop(first);
    while connections(&server, "ana").await > 2 {}
    let device = watcher(&server, "watch-ana").await;
    assert_eq!(news(&mut nora).await, ("watch-ana".to_owned(), Presence::Joined), "and nothing before it");
    drop(second);
    assert_eq!(news(&mut nora).await, ("ana".to_owned(), Presence::Left));
    assert_eq!(shown(&present(&mut third).await)[0], ("ana", "patient", false), "it is connected yet");
    drop(device);
    assert_eq!(news(&mut nora).await, ("watch-ana".to_owned(), Presence::Left));
    server.stop().await;
}

#[tokio::test]
async fn those_who_may_not_hear_a_topic_learn_nothing_of_who_does() {
    let server = server(10).await;
    let _ana = watcher(&server, "ana").await;
    for (user, topic, code) in [
        ("ben", "health:ana", ErrorCode::AccessDenied),
        ("ada", "health:ana", ErrorCode::AccessDenied),
        ("watch-ben", "health:ana", ErrorCode::AccessDenied),
        ("nora", "health:ben", ErrorCode::AccessDenied),
        ("nora", "health:nobody", ErrorCode::AccessDenied),
        ("nora", "health_updates", ErrorCode::AccessDenied),
        ("nora", "ward:w1", ErrorCode::TopicNotServed),
    ] {
        let mut client = server.connect(user).await;
        client.send(&format!(r#"{{"type":"get_presence","topic":"{topic}","correlation_id":"7"}}"#)).await;
        let envelope = client.envelope().await;
        let ServerMessage::Error(error) = &envelope.message else { panic!("{user} sees {topic}") };
        assert_eq!((error.code, error.field.as_deref()), (code, Some("topic")), "{user} {topic}");
        assert_eq!(envelope.correlation_id.as_ref().map(CorrelationId::as_str), Some("7"));
    }
    assert_eq!(ask(&server, Some("ben"), "GET", "/v1/patients/ana/presence").await.0, 403);
    server.stop().await;
}

#[tokio::test]
async fn a_user_who_is_disabled_has_left_at_once() {
    let server = server(300).await;
    let mut ana = listener(&server, "ana").await;
    let _nora = watcher(&server, "nora").await;
    assert_eq!(news(&mut ana).await, ("nora".to_owned(), Presence::Joined));
    server.app.store.set_active(&id("nora"), false, by()).await.expect("known");
    assert_eq!(news(&mut ana).await, ("nora".to_owned(), Presence::Left));
    assert_eq!(shown(&present(&mut ana).await), [("ana", "patient", true)]);
    server.stop().await;
}

#[tokio::test]
async fn who_loses_access_watches_no_longer() {
    let server = server(300).await;
    let mut ana = listener(&server, "ana").await;
    let mut nora = watcher(&server, "nora").await;
    let mut second = watcher(&server, "nora").await;
    assert_eq!(news(&mut ana).await, ("nora".to_owned(), Presence::Joined));
    server.app.store.remove_care_relation(&id("ana"), &id("nora"), by()).await.expect("there was one");
    assert_eq!(news(&mut ana).await, ("nora".to_owned(), Presence::Left), "without a grace time");
    for nora in [&mut nora, &mut second] {
        assert_eq!(nora.next().await.name(), "subscription_denied");
    }
    assert_eq!(shown(&present(&mut ana).await), [("ana", "patient", true)]);
    let (status, answer) = ask(&server, Some("ana"), "GET", "/v1/patients/ana/presence").await;
    assert_eq!((status, &answer["present"].as_array().map(Vec::len)), (200, &Some(1)), "{answer}");
    server.stop().await;
}
