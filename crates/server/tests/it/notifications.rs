//! What users are told, on their sockets.

use healthmate_protocol::client::SubscribeSince;
use healthmate_protocol::{ErrorCode, NotificationKind, Offset, Priority, ServerMessage};
use healthmate_storage::NewNotification;

use crate::client::{Client, measurement};
use crate::server::{StoreKind, TestServer, id};

async fn tell(server: &TestServer, user: &str, title: &str) {
    let notification = NewNotification {
        id: server.app.clock.notification_id(),
        user: id(user),
        kind: NotificationKind::BreakGlass,
        priority: Priority::Normal,
        title: title.to_owned(),
        body: format!("{title}: body"),
        patient: None,
        expires_at: None,
    };
    server.app.store.notify(vec![notification]).await.expect("stored");
}

/// The next notification: its offset and title.
async fn told(client: &mut Client) -> (u64, String) {
    let envelope = client.envelope().await;
    let ServerMessage::Notification(data) = envelope.message else { panic!("{:?}", envelope.message) };
    (envelope.offset.expect("durable").0, data.title)
}

async fn sign_in(server: &TestServer, path: &str, user: &str) -> Client {
    let mut client = Client::open(&server.url(path)).await;
    client.sign_in(&server.token(user)).await;
    client
}

/// `(title, offset)` in the order in which they were told.
fn numbered<const N: usize>(titles: [&str; N]) -> [(u64, String); N] {
    let mut offset = 0;
    titles.map(|title| {
        offset += 1;
        (offset, title.to_owned())
    })
}

#[tokio::test]
async fn a_user_hears_at_once_and_after_an_absence_what_was_said_and_nobody_else_does() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut nora = sign_in(&server, "/ws/notifications", "nora").await;
        let started = nora.subscribe("notifications", None).await;
        assert_eq!((started.topic.to_string().as_str(), started.head), ("notifications:nora", Offset(0)));
        tell(&server, "nora", "one").await;
        tell(&server, "ana", "for ana").await;
        tell(&server, "nora", "two").await;
        assert_eq!([told(&mut nora).await, told(&mut nora).await], numbered(["one", "two"]));
        drop(nora);
        for title in ["three", "four", "five"] {
            tell(&server, "nora", title).await;
        }
        let mut back = server.connect("nora").await;
        let since = SubscribeSince { epoch: started.epoch.clone(), offset: Offset(2) };
        back.subscribe("notifications:nora", Some(&since)).await;
        for (offset, title) in numbered(["one", "two", "three", "four", "five"]).into_iter().skip(2) {
            assert_eq!(told(&mut back).await, (offset, title));
        }
        tell(&server, "nora", "six").await;
        assert_eq!(told(&mut back).await, (6, "six".to_owned()));
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.sessions.redelivery_after_s = 1;
    })
    .await;
    let mut nora = sign_in(&server, "/ws/notifications", "nora").await;
    nora.send(r#"{"type":"subscribe","topic":"notifications","acknowledge":true}"#).await;
    assert_eq!(nora.next().await.name(), "subscription_success");
    tell(&server, "nora", "one").await;
    assert_eq!(
        [told(&mut nora).await, told(&mut nora).await],
        [(1, "one".to_owned()), (1, "one".to_owned())]
    );
    nora.send(r#"{"type":"acknowledge","topic":"notifications:nora","offset":1}"#).await;
    tell(&server, "nora", "two").await;
    assert_eq!(told(&mut nora).await, (2, "two".to_owned()));
    server.stop().await;
}

/// Each endpoint is the same session, limited to its kind.
#[tokio::test]
async fn an_endpoint_carries_its_kind_and_works_as_any_other() {
    let server = TestServer::start().await;
    let kinds = [("/ws/health", "health:ana"), ("/ws/chat", "chat"), ("/ws/notifications", "notifications")];
    for (path, _) in kinds {
        let mut ana = sign_in(&server, path, "ana").await;
        ana.send(r#"{"type":"ping"}"#).await;
        assert_eq!(ana.next().await.name(), "pong", "{path}");
        for (carried, topic) in kinds {
            ana.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
            match ana.next().await {
                ServerMessage::SubscriptionSuccess(_) => {
                    assert!(carried == path && topic != "chat", "{path} {topic}");
                }
                ServerMessage::SubscriptionDenied(denied) => {
                    assert!(carried != path || topic == "chat", "{path} {topic}");
                    assert_eq!(denied.code, ErrorCode::TopicNotServed, "{path} {topic}");
                    assert_eq!(denied.message == "chat is not served yet", carried == path, "{path} {topic}");
                }
                other => panic!("{path} {topic}: {other:?}"),
            }
        }
        // What belongs to no topic works on each.
        ana.send(&format!(r#"{{"type":"health_update","data":{}}}"#, measurement(1))).await;
        let mut names = vec![ana.next().await.name()];
        if path == "/ws/health" {
            names.push(ana.next().await.name());
        }
        assert!(names.contains(&"acknowledgment"), "{path}: {names:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn notifications_come_whole_and_alone() {
    let server = TestServer::start().await;
    let mut nora = server.connect("nora").await;
    for (extra, field) in [(r#""delivery":"latest""#, "delivery"), (r#""include":["presence"]"#, "include")] {
        nora.send(&format!(r#"{{"type":"subscribe","topic":"notifications",{extra}}}"#)).await;
        let ServerMessage::Error(error) = nora.next().await else { panic!("{extra} was granted") };
        assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidField, Some(field)));
    }
    nora.send(r#"{"type":"get_presence","topic":"notifications"}"#).await;
    let ServerMessage::Error(error) = nora.next().await else { panic!("presence was told") };
    assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidField, Some("topic")));
    server.stop().await;
}
