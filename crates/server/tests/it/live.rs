//! The main road: a device sends, people watch.

use std::collections::BTreeSet;

use healthmate_protocol::{ErrorCode, Offset, ServerMessage};

use crate::client::measurement;
use crate::server::{StoreKind, TestServer};

#[tokio::test]
async fn a_measurement_reaches_everyone_who_watches() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut device = server.connect("watch-ana").await;
        // As many watchers as land on both shards.
        let mut watchers = Vec::new();
        for _ in 0..4 {
            let mut watcher = server.connect("nora").await;
            let started = watcher.subscribe("health:ana", None).await;
            assert_eq!((started.head, started.resumed), (Offset(0), None));
            watchers.push(watcher);
        }
        let receipts = device.record([12]).await;
        assert_eq!(receipts[0].offset, Offset(1));
        for watcher in &mut watchers {
            let event = watcher.envelope().await;
            assert_eq!(
                event.position().map(|(topic, offset)| (topic.to_string(), offset.0)),
                Some(("health:ana".into(), 1))
            );
            let ServerMessage::HealthUpdate(data) = event.message else { panic!("no event") };
            assert_eq!((data.metric.as_str(), data.value, data.unit.as_str()), ("heart_rate", 72.0, "/min"));
            assert_eq!((data.patient.as_str(), data.author.as_str()), ("ana", "watch-ana"));
            assert_eq!(data.recorded_at, event.timestamp);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_patient_watches_by_the_short_name_and_asks_for_history() {
    let server = TestServer::start().await;
    let mut ana = server.connect("ana").await;
    assert_eq!(ana.subscribe("health_updates", None).await.topic.to_string(), "health:ana");
    let receipts = ana.record(0..25).await;
    assert_eq!(
        receipts.iter().map(|receipt| receipt.offset.0).collect::<Vec<_>>(),
        (1..=25).collect::<Vec<_>>()
    );
    assert_eq!(ana.offsets(25).await, (1..=25).collect::<Vec<_>>());

    let mut offsets = Vec::new();
    let mut cursor = String::new();
    loop {
        ana.send(&format!(r#"{{"type":"get_health_data","data_type":"heart_rate"{cursor}}}"#)).await;
        let ServerMessage::HealthDataResponse(page) = ana.next().await else { panic!("no page") };
        offsets.extend(page.measurements.iter().map(|measurement| measurement.offset.0));
        match page.next_cursor {
            Some(next) => cursor = format!(r#","cursor":"{next}""#),
            None => break,
        }
    }
    assert_eq!(offsets, (1..=25).rev().collect::<Vec<_>>());
    ana.send(r#"{"type":"get_health_data","cursor":"nonsense"}"#).await;
    let ServerMessage::Error(error) = ana.next().await else { panic!("no error") };
    assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidField, Some("cursor")));
    server.stop().await;
}

#[tokio::test]
async fn a_measurement_sent_again_is_stored_once() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut device = server.connect("watch-ana").await;
        let named = measurement(1).replace('}', r#","client_id":"a1"}"#);
        for duplicate in [false, true, true] {
            device.send(&format!(r#"{{"type":"health_update","data":{named},"correlation_id":"r"}}"#)).await;
            let reply = device.envelope().await;
            assert_eq!(
                reply.correlation_id.as_ref().map(healthmate_protocol::CorrelationId::as_str),
                Some("r")
            );
            let ServerMessage::Acknowledgment(stored) = reply.message else { panic!("not stored") };
            assert_eq!((stored.results[0].offset, stored.results[0].duplicate), (Offset(1), duplicate));
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn commands_may_follow_a_token_without_waiting() {
    let server = TestServer::start().await;
    let mut ana = crate::client::Client::open(&server.url("/ws/health")).await;
    ana.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
    ana.send(r#"{"type":"subscribe","topic":"health_updates"}"#).await;
    ana.send(&format!(r#"{{"type":"health_update","data":{}}}"#, measurement(1))).await;
    let mut awaited =
        BTreeSet::from(["acknowledgment", "authentication_success", "health_update", "subscription_success"]);
    while !awaited.is_empty() {
        let message = ana.next().await;
        // The measurement may be in the log before the topic is opened, which then says so.
        if matches!(&message, ServerMessage::SubscriptionSuccess(opened) if opened.head == Offset(1)) {
            awaited.remove("health_update");
        }
        assert!(awaited.remove(message.name()), "{message:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn heartbeats_carry_the_heads_of_the_topics() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.heartbeat_interval_s = 1;
    })
    .await;
    let mut ana = server.connect("ana").await;
    ana.subscribe("health_updates", None).await;
    ana.record([1, 2, 3]).await;
    ana.offsets(3).await;
    let ServerMessage::Heartbeat(heartbeat) = ana.next().await else { panic!("no heartbeat") };
    assert_eq!(heartbeat.heads.into_iter().collect::<Vec<_>>(), [("health:ana".to_owned(), Offset(3))]);
    server.stop().await;
}
