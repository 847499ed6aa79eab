//! Delivery classes beside the durable one: newest values, and what nobody stores.

use healthmate_protocol::{Delivery, ErrorCode, ServerMessage};

use crate::client::{Client, measurement};
use crate::server::{StoreKind, TestServer};

fn strip(sequence: u32) -> String {
    format!(
        r#"{{"type":"health_waveform","data":{{"waveform":"ecg_lead_ii","unit":"mV","started_at":"2026-01-01T00:00:00Z","sample_rate_hz":250,"samples":[0.1,null,-0.2],"sequence":{sequence}}}}}"#
    )
}

/// Subscribes with more than a topic.
async fn subscribe(client: &mut Client, extra: &str) -> Delivery {
    client.send(&format!(r#"{{"type":"subscribe","topic":"health:ana",{extra}}}"#)).await;
    match client.next().await {
        ServerMessage::SubscriptionSuccess(success) => success.delivery,
        other => panic!("not subscribed: {other:?}"),
    }
}

#[tokio::test]
async fn a_waveform_reaches_those_who_asked_on_every_shard_and_leaves_no_trace() {
    let server = TestServer::start().await;
    let mut device = server.connect("watch-ana").await;
    let mut watchers = Vec::new();
    for _ in 0..4 {
        let mut watcher = server.connect("nora").await;
        subscribe(&mut watcher, r#""include":["waveform"]"#).await;
        watchers.push(watcher);
    }
    let mut plain = server.connect("ana").await;
    plain.subscribe("health:ana", None).await;
    for sequence in 0..3 {
        device.send(&strip(sequence)).await;
    }
    // What comes after it shows what did not come.
    device.record([1]).await;
    for watcher in &mut watchers {
        for sequence in 0..3 {
            let event = watcher.envelope().await;
            assert_eq!(
                (event.topic.map(|topic| topic.to_string()), event.offset),
                (Some("health:ana".into()), None)
            );
            let ServerMessage::HealthWaveform(data) = event.message else { panic!("no waveform") };
            assert_eq!((data.sequence, data.author.as_str()), (Some(sequence), "watch-ana"));
            assert_eq!(data.samples, [Some(0.1), None, Some(-0.2)]);
        }
        assert_eq!(watcher.offsets(1).await, [1], "it took no offset");
    }
    assert_eq!(plain.offsets(1).await, [1], "nobody asked for it here");
    device.send(&strip(0).replace("0.1", "99")).await;
    let ServerMessage::Error(error) = device.next().await else { panic!("no error") };
    assert_eq!((error.code, error.field.as_deref()), (ErrorCode::ImplausibleValue, Some("data.samples")));
    let mut nurse = server.connect("nora").await;
    nurse.send(&strip(0).replace(r#""data""#, r#""patient":"ana","data""#)).await;
    let ServerMessage::Error(error) = nurse.next().await else { panic!("no error") };
    assert_eq!(error.code, ErrorCode::AccessDenied);
    server.stop().await;
}

#[tokio::test]
async fn newest_values_come_first_then_live_ones() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut device = server.connect("watch-ana").await;
        device.record(0..5).await;
        let glucose = measurement(30).replace("heart_rate", "glucose").replace("bpm", "mg/dL");
        device.send(&format!(r#"{{"type":"health_update","data":{glucose}}}"#)).await;
        assert!(matches!(device.next().await, ServerMessage::Acknowledgment(_)));
        let mut screen = server.connect("nora").await;
        assert_eq!(subscribe(&mut screen, r#""delivery":"latest""#).await, Delivery::Latest);
        assert_eq!(screen.offsets(2).await, [5, 6], "the newest of each metric");
        device.record(0..1).await;
        assert_eq!(screen.offsets(1).await, [7]);
        // The same, byte for byte, for those who read the log.
        let mut reader = server.connect("nora").await;
        subscribe(&mut reader, r#""delivery":"durable""#).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_screen_that_does_not_read_keeps_the_newest_and_is_told_of_the_rest() {
    let server = TestServer::start().await;
    let mut device = server.connect("watch-ana").await;
    device.record(0..1).await;
    let mut screen = server.connect("nora").await;
    subscribe(&mut screen, r#""delivery":"latest""#).await;
    assert_eq!(screen.offsets(1).await, [1], "from here on it is live");
    // More than the kernel's buffers hold, on both sides.
    let mut sent = 0;
    while server.app.metrics.events_merged.get() == 0 {
        device.record(0..200).await;
        sent += 200;
    }
    let last = device.record(0..1).await[0].offset;
    sent += 1;
    let (mut received, mut merged, mut newest) = (0, 0, 0);
    while newest < last.0 {
        let envelope = screen.envelope().await;
        match envelope.message {
            ServerMessage::HealthUpdate(_) => {
                received += 1;
                newest = newest.max(envelope.offset.expect("it is stored").0);
            }
            ServerMessage::EventsMerged(told) => merged += told.merged,
            other => panic!("{other:?}"),
        }
    }
    assert!(merged > 0);
    assert_eq!(received + merged, sent, "each came, or was counted");
    assert_eq!(server.app.metrics.events_merged.get(), merged);
    server.stop().await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_misses_waveforms_and_nothing_else() {
    let server = TestServer::start().await;
    let mut device = server.connect("watch-ana").await;
    let mut watcher = server.connect("nora").await;
    subscribe(&mut watcher, r#""include":["waveform"]"#).await;
    let long = strip(0).replace("0.1,", &"0.125,".repeat(900));
    while server.app.metrics.events_dropped.get() == 0 {
        for _ in 0..100 {
            device.send(&long).await;
        }
        device.send(r#"{"type":"ping"}"#).await;
        assert!(matches!(device.next().await, ServerMessage::Pong(_)));
    }
    let receipts = device.record(0..50).await;
    let expected: Vec<u64> = receipts.iter().map(|receipt| receipt.offset.0).collect();
    assert_eq!(watcher.offsets(50).await, expected);
    server.stop().await;
}
