//! Connections that are lost, and clients that come back to their sessions.

use healthmate_protocol::server::Resumed;
use healthmate_protocol::{ErrorCode, ServerMessage};
use serde_json::{Value, json};

use crate::client::{Came, Client};
use crate::operators::{ask, connect};
use crate::server::{StoreKind, TestServer, by, id};

/// A nurse's connection that watches ana, its id and its session's.
pub(crate) async fn watching(server: &TestServer, extra: &str) -> (Client, String, String) {
    let (mut client, connection) = connect(server, "nora").await;
    client.send(&format!(r#"{{"type":"subscribe","topic":"health:ana"{extra}}}"#)).await;
    assert!(matches!(client.next().await, ServerMessage::SubscriptionSuccess(_)));
    let health = health(server, &connection).await;
    let session = health["session_id"].as_str().expect("a session").to_owned();
    (client, connection, session)
}

async fn health(server: &TestServer, connection: &str) -> Value {
    let (status, health) =
        ask(server, Some("ada"), "GET", &format!("/ws/connection/{connection}/health")).await;
    assert_eq!(status, 200, "{health}");
    health
}

/// Cuts the connection without a close frame, and waits until the server has noticed.
pub(crate) async fn cut(server: &TestServer, client: Client, connection: &str) {
    drop(client);
    for _ in 0..10_000 {
        if health(server, connection).await["state"] == "error" {
            return;
        }
    }
    panic!("the loss is not noticed");
}

/// Comes back, and says whether the session went on.
pub(crate) async fn come_back(
    server: &TestServer,
    user: &str,
    session: &str,
    offsets: &Value,
) -> (Client, bool) {
    let mut client = Client::open(&server.url("/ws/combined")).await;
    let message = json!({ "type": "authenticate", "token": server.token(user), "session_id": session, "offsets": offsets });
    client.send(&message.to_string()).await;
    let ServerMessage::AuthenticationSuccess(success) = client.next().await else { panic!("not let in") };
    let resumed = success.resumed.expect("a session was asked for");
    assert_eq!(success.session_id.as_str() == session, resumed);
    (client, resumed)
}

#[tokio::test]
async fn a_lost_session_goes_on_where_its_client_stopped() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut device = server.connect("watch-ana").await;
        let (mut client, connection, session) = watching(&server, "").await;
        device.record(0..3).await;
        assert_eq!(client.offsets(3).await, [1, 2, 3]);
        cut(&server, client, &connection).await;
        device.record(0..2).await;
        let lost = health(&server, &connection).await;
        assert_eq!(
            (&lost["last_error"]["code"], &lost["user_id"]),
            (&json!("transport_failed"), &json!("nora"))
        );
        assert!(lost["resumable_s"].as_u64().is_some_and(|left| left <= 120), "{lost}");

        let (mut client, resumed) = come_back(&server, "nora", &session, &json!({ "health:ana": 3 })).await;
        assert!(resumed);
        let ServerMessage::SubscriptionSuccess(success) = client.next().await else { panic!("no answer") };
        assert_eq!((success.resumed, success.head.0), (Some(Resumed::Complete), 5));
        assert_eq!(client.offsets(2).await, [4, 5]);
        device.record(0..1).await;
        assert_eq!(client.offsets(1).await, [6]);
        // It can be lost again, and its own history comes with it; nobody else can take it.
        let (_, page) = ask(&server, Some("nora"), "GET", "/ws/connections").await;
        let connection = page["connections"][0]["connection_id"].as_str().expect("an id").to_owned();
        cut(&server, client, &connection).await;
        assert!(!come_back(&server, "ana", &session, &json!({})).await.1, "it is nora's");
        assert!(come_back(&server, "nora", &session, &json!({})).await.1);
        assert!(!come_back(&server, "nora", "dead-beef", &json!({})).await.1);
        server.stop().await;
    }
}

#[tokio::test]
async fn without_an_offset_a_session_goes_on_after_what_was_acknowledged() {
    let server = TestServer::start().await;
    let mut device = server.connect("watch-ana").await;
    let (mut client, connection, session) = watching(&server, "").await;
    device.record(0..4).await;
    client.offsets(4).await;
    client.send(r#"{"type":"acknowledge","topic":"health:ana","offset":2}"#).await;
    client.send(r#"{"type":"ping"}"#).await;
    assert!(matches!(client.next().await, ServerMessage::Pong(_)));
    cut(&server, client, &connection).await;
    let (mut client, resumed) = come_back(&server, "nora", &session, &json!({})).await;
    assert!(resumed);
    assert_eq!(client.offsets(2).await, [3, 4]);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_faster_than_the_server_takes_its_session_along() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.connections_per_user = 1;
    })
    .await;
    let mut device = server.connect("watch-ana").await;
    for _ in 0..4 {
        let (mut half_open, connection, session) = watching(&server, "").await;
        let head = device.record(0..1).await[0].offset.0;
        assert_eq!(half_open.offsets(1).await, [head]);
        let next = head + 1;
        device.record(0..1).await;
        let (mut client, resumed) =
            come_back(&server, "nora", &session, &json!({ "health:ana": head })).await;
        assert!(resumed, "the old connection {connection} stands in nobody's way");
        assert_eq!(client.offsets(1).await, [next]);
        assert_eq!(half_open.close_code().await, 4503);
        client.socket.close(None).await.expect("closed");
        while !matches!(client.come().await, Came::Closed(_)) {}
        while ask(&server, Some("nora"), "GET", "/ws/connections").await.1["connections"] != json!([]) {}
    }
    server.stop().await;
}

#[tokio::test]
async fn rights_are_asked_again_and_what_closed_politely_is_gone() {
    let server = TestServer::start().await;
    let (client, connection, session) = watching(&server, "").await;
    cut(&server, client, &connection).await;
    server.app.store.remove_care_relation(&id("ana"), &id("nora"), by()).await.expect("removed");
    let (mut client, resumed) = come_back(&server, "nora", &session, &json!({ "health:ana": 0 })).await;
    assert!(resumed);
    // At once, or as soon as the change is seen: within a second.
    let denied = loop {
        match client.next().await {
            ServerMessage::SubscriptionDenied(denied) => break denied,
            ServerMessage::SubscriptionSuccess(_) => {}
            other => panic!("{} is still heard", other.name()),
        }
    };
    assert_eq!(denied.code, ErrorCode::AccessDenied);
    client.socket.close(None).await.expect("closed");
    while !matches!(client.come().await, Came::Closed(_)) {}
    assert!(!come_back(&server, "nora", &session, &json!({})).await.1);
    server.stop().await;
}

#[tokio::test]
async fn operators_see_keep_and_end_lost_sessions() {
    let server = TestServer::start().await;
    let (client, connection, session) = watching(&server, "").await;
    cut(&server, client, &connection).await;
    let (_, status) = ask(&server, Some("ada"), "GET", "/ws/status").await;
    assert_eq!(status["connections"]["error"], 1);
    let (_, page) = ask(&server, Some("ada"), "GET", "/ws/connections?state=error").await;
    let listed = &page["connections"][0];
    assert_eq!((&listed["connection_id"], &listed["subscription_count"]), (&json!(connection), &json!(1)));
    let (_, kept) = ask(&server, Some("nora"), "POST", "/ws/user/nora/reconnect").await;
    assert_eq!(kept["connections"], json!([{ "connection_id": connection, "outcome": "kept" }]));
    let path = format!("/ws/connection/{connection}");
    assert_eq!(ask(&server, Some("ben"), "DELETE", &path).await.0, 404);
    assert_eq!(ask(&server, Some("ada"), "DELETE", &path).await.0, 204);
    assert_eq!(ask(&server, Some("ada"), "DELETE", &path).await.0, 404);
    assert!(!come_back(&server, "nora", &session, &json!({})).await.1);
    server.stop().await;
}

#[tokio::test]
async fn a_session_asked_to_come_back_is_kept() {
    let server = TestServer::start().await;
    let (mut client, connection, session) = watching(&server, "").await;
    let (_, asked) = ask(&server, Some("ada"), "POST", "/ws/user/nora/reconnect").await;
    assert_eq!(asked["connections"][0]["outcome"], "asked");
    assert!(matches!(client.next().await, ServerMessage::Reconnect(_)));
    assert_eq!(client.close_code().await, 4000);
    assert_eq!(health(&server, &connection).await["last_error"]["code"], "asked_to_reconnect");
    assert!(come_back(&server, "nora", &session, &json!({})).await.1);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_keeps_nothing_says_so() {
    let server =
        TestServer::start_with(StoreKind::Memory, |settings| settings.sessions.resume_window_s = 0).await;
    let (client, connection, session) = watching(&server, "").await;
    drop(client);
    let path = format!("/ws/connection/{connection}/health");
    while ask(&server, Some("ada"), "GET", &path).await.0 != 404 {}
    assert!(!come_back(&server, "nora", &session, &json!({})).await.1);
    server.stop().await;
}

#[tokio::test]
async fn events_that_stay_unacknowledged_are_sent_again_and_given_up_in_the_end() {
    let server = TestServer::start_with(StoreKind::Sqlite, |settings| {
        settings.sessions.redelivery_after_s = 1;
        settings.sessions.redelivery_max_s = 1;
        settings.sessions.redelivery_attempts = 1;
    })
    .await;
    let mut device = server.connect("watch-ana").await;
    let (mut client, connection, _) = watching(&server, r#","acknowledge":true"#).await;
    device.record(0..3).await;
    assert_eq!(client.offsets(3).await, [1, 2, 3]);
    client.send(r#"{"type":"acknowledge","topic":"health:ana","offset":1}"#).await;
    assert_eq!(client.offsets(2).await, [2, 3], "what was not acknowledged");
    assert_eq!(health(&server, &connection).await["retry_count"], 1);
    let ServerMessage::SubscriptionDenied(denied) = client.next().await else { panic!("still delivered") };
    assert_eq!((denied.code, denied.retry), (ErrorCode::NotAcknowledged, true));
    let health = health(&server, &connection).await;
    assert_eq!(
        (&health["last_error"]["code"], &health["subscriptions"]),
        (&json!("not_acknowledged"), &json!([]))
    );
    server.stop().await;
}
