//! The watcher against a scripted server, over a real socket.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use healthmate_protocol::server::{EventsMerged, Presence, PresenceUpdate, Present};
use healthmate_protocol::server::{GapReason, Heartbeat, Resumed, SubscriptionDenied, SubscriptionSuccess};
use healthmate_protocol::{
    Delivery, Envelope, MeasurementData, NotificationData, NotificationKind, Offset, Priority,
    SubscribeSince, WaveformData,
};

use super::*;
use crate::client::scripted_peer::{EPOCH, Peer, ScriptedPeer, noon};
use crate::client::{Backoff, Target, Token};

/// Where a test reads what was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn watch(peer: &ScriptedPeer, since: Option<u64>, count: u64, format: Format) -> (Watch, Written, Written) {
    let (events, notes) = (Written::default(), Written::default());
    let target = Target::new(&peer.server(), "/ws/combined").expect("valid");
    let token = Box::new(|| Ok(Token::new("planted-token")));
    let backoff = Backoff::within(Duration::from_millis(1), Duration::from_millis(2), 1);
    let since =
        since.map(|offset| SubscribeSince { epoch: EPOCH.parse().expect("valid"), offset: Offset(offset) });
    let wanted = Wanted { since, ..Wanted::default() };
    let watch = Watch {
        tail: Tail::new("health:patient-1".parse().expect("valid"), wanted),
        count: Some(count),
        reconnect: Reconnect::new(target, token, backoff),
        viewer: Box::new(Screen::new(format, events.clone(), notes.clone())),
    };
    (watch, events, notes)
}

fn event(offset: u64) -> Envelope {
    let data = MeasurementData {
        patient: "patient-1".parse().expect("valid"),
        metric: "heart_rate".to_owned(),
        value: 60.0 + offset as f64,
        unit: "/min".to_owned(),
        taken_at: noon(),
        recorded_at: noon(),
        author: "device-1".parse().expect("valid"),
        client_id: None,
        device: None,
        original: None,
        flags: Vec::new(),
    };
    let topic = "health:patient-1".parse().ok();
    Envelope {
        topic,
        offset: Some(Offset(offset)),
        ..Envelope::new(noon(), ServerMessage::HealthUpdate(data))
    }
}

/// Hears `subscribe`, takes it, and returns the offset the client wants to go on after.
async fn take_subscription(peer: &mut Peer, head: u64, gap: Option<(u64, u64)>) -> Option<u64> {
    let request = peer.hear().await.expect("a message");
    let Command::Subscribe(subscribe) = &request.command else { panic!("not {request:?}") };
    let success = SubscriptionSuccess {
        topic: "health:patient-1".parse().expect("valid"),
        epoch: EPOCH.parse().expect("valid"),
        head: Offset(head),
        delivery: Delivery::Durable,
        resumed: subscribe.since.as_ref().map(
            |_| {
                if gap.is_some() { Resumed::Gap } else { Resumed::Complete }
            },
        ),
        from: gap.map(|(from, _)| Offset(from)),
        to: gap.map(|(_, to)| Offset(to)),
        reason: gap.map(|_| GapReason::Retention),
    };
    peer.answer(&request, ServerMessage::SubscriptionSuccess(success)).await;
    subscribe.since.as_ref().map(|since| since.offset.0)
}

#[tokio::test]
async fn cuts_repeats_and_holes_leave_no_trace_in_what_is_shown() {
    let peer = ScriptedPeer::bind().await;
    let (watch, events, notes) = watch(&peer, None, 5, Format::Columns);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        assert_eq!(take_subscription(&mut connection, 10, None).await, None);
        connection.send(&event(11)).await;
        connection.send(&event(12)).await;
        connection.close(4000).await;
        let (mut connection, _) = peer.accept_signed_in().await;
        assert_eq!(take_subscription(&mut connection, 13, None).await, Some(12));
        connection.send(&event(12)).await;
        connection.send(&event(13)).await;
        // 14 is missing.
        connection.send(&event(15)).await;
        let (mut connection, _) = peer.accept_signed_in().await;
        assert_eq!(take_subscription(&mut connection, 15, None).await, Some(13));
        connection.send(&event(14)).await;
        connection.send(&event(15)).await;
        assert!(connection.hear().await.is_none(), "it has enough");
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    assert_eq!(ended.expect("watched").since().expect("subscribed").offset, Offset(15));
    let expected: Vec<_> = (11..=15)
        .map(|offset| {
            format!("2026-11-23T12:00:00.000000Z      {offset}  heart_rate  {} /min\n", 60 + offset)
        })
        .collect();
    assert_eq!(events.text(), expected.concat());
    let notes = notes.text();
    assert!(notes.contains("closed the connection with 4000: because; trying again in"), "{notes}");
    assert!(notes.contains("connected again\nwatching health:patient-1 after epoch-1:12\n"), "{notes}");
    assert!(notes.contains("event 15 came where 14 was next"), "{notes}");
    assert!(!notes.contains("planted-token"));
}

#[tokio::test]
async fn notifications_are_shown_and_cannot_steer_the_terminal() {
    let peer = ScriptedPeer::bind().await;
    let (watch, events, _) = watch(&peer, None, 1, Format::Columns);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        take_subscription(&mut connection, 10, None).await;
        let data = NotificationData {
            id: "01a214e3-63f4-7a5f-94b4-c55ffc92e514".parse().expect("valid"),
            kind: NotificationKind::BreakGlass,
            priority: Priority::Urgent,
            title: "Opened".to_owned(),
            body: "by dan:\u{1b}[2J\nfound unconscious".to_owned(),
            patient: None,
            created_at: noon(),
            expires_at: None,
        };
        let told = Envelope::new(noon(), ServerMessage::Notification(data));
        let topic = "health:patient-1".parse().ok();
        connection.send(&Envelope { topic, offset: Some(Offset(11)), ..told }).await;
        assert!(connection.hear().await.is_none(), "it has enough");
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    assert_eq!(ended.expect("watched").since().expect("subscribed").offset, Offset(11));
    let line = "2026-11-23T12:00:00.000000Z      11  urgent  Opened: by dan: [2J found unconscious\n";
    assert_eq!(events.text(), line);
}

#[tokio::test]
async fn a_gap_is_told_and_json_is_passed_on_as_it_came() {
    let peer = ScriptedPeer::bind().await;
    let (watch, events, notes) = watch(&peer, Some(3), 1, Format::Json);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        assert_eq!(take_subscription(&mut connection, 9, Some((4, 7))).await, Some(3));
        connection.send(&event(8)).await;
        assert!(connection.hear().await.is_none());
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    ended.expect("watched");
    assert_eq!(events.text(), format!("{}\n", event(8).to_text()));
    assert!(notes.text().starts_with("gap: events 4 to 7 are gone: the log no longer keeps them\n"));
}

#[tokio::test]
async fn a_topic_that_is_refused_ends_it() {
    let peer = ScriptedPeer::bind().await;
    let (watch, events, _) = watch(&peer, None, 1, Format::Columns);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        let request = connection.hear().await.expect("a message");
        let denied = SubscriptionDenied {
            topic: "health:patient-1".to_owned(),
            code: ErrorCode::AccessDenied,
            reason: Some("not_in_care_team".to_owned()),
            message: "you are not in this patient's care team".to_owned(),
            retry: false,
        };
        connection.answer(&request, ServerMessage::SubscriptionDenied(denied)).await;
        assert!(connection.hear().await.is_none());
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    let refused =
        "the server refuses health:patient-1: access_denied (you are not in this patient's care team)";
    assert_eq!(ended.expect_err("refused").to_string(), refused);
    assert_eq!(events.text(), "");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let peer = ScriptedPeer::bind().await;
    let (mut watch, _, notes) = watch(&peer, None, 9, Format::Columns);
    watch.viewer = Box::new(Screen::new(Format::Columns, Gone, notes));
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        take_subscription(&mut connection, 0, None).await;
        connection.send(&event(1)).await;
        assert!(connection.hear().await.is_none());
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    ended.expect("it is no failure");
}

#[tokio::test]
async fn stopping_says_good_bye_and_tells_where() {
    let peer = ScriptedPeer::bind().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (watch, _, _) = watch(&peer, None, 9, Format::Columns);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        take_subscription(&mut connection, 4, None).await;
        connection.send(&event(5)).await;
        // The answer to the heartbeat shows that the event before it has arrived.
        let heartbeat = Heartbeat { epoch: EPOCH.parse().expect("valid"), heads: BTreeMap::default() };
        connection.say(ServerMessage::Heartbeat(heartbeat)).await;
        assert!(connection.hear().await.is_some());
        stop.send(()).expect("the watcher runs");
        connection.hear_close().await
    };
    let (ended, code) = tokio::join!(watch.run(async { drop(stopped.await) }), server);
    assert_eq!(ended.expect("stopped").since().expect("subscribed").offset, Offset(5));
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_good_bye_is_not_waited_for_long() {
    let peer = ScriptedPeer::bind().await;
    let (watch, _, _) = watch(&peer, None, 1, Format::Columns);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        take_subscription(&mut connection, 4, None).await;
        connection.send(&event(5)).await;
        (connection, tokio::time::Instant::now())
    };
    let (ended, (silent, sent)) = tokio::join!(watch.run(pending()), server);
    ended.expect("watched");
    assert!(sent.elapsed() < Duration::from_secs(2), "half a second, and room for a busy machine");
    drop(silent);
}

/// What the server says of the topic by itself, when a session goes on.
fn going_on(head: u64) -> ServerMessage {
    ServerMessage::SubscriptionSuccess(SubscriptionSuccess {
        topic: "health:patient-1".parse().expect("valid"),
        epoch: EPOCH.parse().expect("valid"),
        head: Offset(head),
        delivery: Delivery::Durable,
        resumed: Some(Resumed::Complete),
        from: None,
        to: None,
        reason: None,
    })
}

#[tokio::test]
async fn after_a_cut_it_goes_on_in_its_session_or_subscribes_where_there_is_none() {
    let peer = ScriptedPeer::bind().await;
    let (watch, events, _) = watch(&peer, None, 4, Format::Columns);
    let server = async {
        let (mut connection, sign_in) = peer.accept_in("0190-7", None).await;
        assert_eq!((sign_in.session_id, sign_in.offsets.len()), (None, 0));
        take_subscription(&mut connection, 10, None).await;
        connection.send(&event(11)).await;
        drop(connection);
        let (mut connection, sign_in) = peer.accept_in("0190-7", Some(true)).await;
        assert_eq!(sign_in.session_id.expect("it comes back").as_str(), "0190-7");
        assert_eq!(sign_in.offsets, [("health:patient-1".to_owned(), Offset(11))].into());
        connection.say(going_on(12)).await;
        connection.send(&event(11)).await;
        connection.send(&event(12)).await;
        drop(connection);
        let (mut connection, sign_in) = peer.accept_in("0190-8", Some(false)).await;
        assert_eq!(sign_in.offsets, [("health:patient-1".to_owned(), Offset(12))].into());
        assert_eq!(take_subscription(&mut connection, 12, None).await, Some(12));
        connection.send(&event(13)).await;
        drop(connection);
        let (mut connection, sign_in) = peer.accept_in("0190-8", Some(true)).await;
        assert_eq!(sign_in.session_id.expect("it comes back").as_str(), "0190-8");
        // Not a word of the topic: by the first heartbeat it is asked for.
        let heartbeat = Heartbeat { epoch: EPOCH.parse().expect("valid"), heads: BTreeMap::default() };
        connection.say(ServerMessage::Heartbeat(heartbeat)).await;
        assert_eq!(take_subscription(&mut connection, 13, None).await, Some(13));
        connection.send(&event(14)).await;
        assert!(connection.hear().await.is_none(), "nothing else was asked for");
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    ended.expect("watched");
    let shown = events.text();
    let offsets: Vec<_> = shown.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(offsets, ["11", "12", "13", "14"]);
}

fn ephemeral(message: ServerMessage) -> Envelope {
    Envelope::ephemeral(noon(), "health:patient-1".parse().expect("valid"), message)
}

#[tokio::test]
async fn waveforms_and_presence_are_shown_to_whoever_asks_and_count_as_events() {
    let peer = ScriptedPeer::bind().await;
    let (mut watch, events, notes) = watch(&peer, None, 2, Format::Columns);
    let include = vec![Ephemeral::Waveform, Ephemeral::Presence];
    let wanted = Wanted { delivery: Delivery::Latest, include, ..Wanted::default() };
    watch.tail = Tail::new("health:patient-1".parse().expect("valid"), wanted);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        assert_eq!(take_subscription(&mut connection, 3, None).await, None);
        let request = connection.hear().await.expect("a message");
        assert!(matches!(&request.command, Command::GetPresence(_)), "{request:?}");
        let nora = Present {
            user_id: "nora".parse().expect("valid"),
            role: "nurse".to_owned(),
            since: noon(),
            watching: true,
        };
        let topic = "health:patient-1".parse().expect("valid");
        let response = PresenceResponse { topic, present: vec![nora] };
        connection.answer(&request, ServerMessage::PresenceResponse(response)).await;
        let topic = "health:patient-1".parse().expect("valid");
        connection.say(ServerMessage::EventsMerged(EventsMerged { topic, merged: 12 })).await;
        let strip = WaveformData {
            patient: "patient-1".parse().expect("valid"),
            waveform: "ecg_lead_ii".to_owned(),
            unit: "mV".to_owned(),
            started_at: noon(),
            sample_rate_hz: 250.0,
            samples: vec![Some(0.0), None, Some(1.0)],
            author: "device-1".parse().expect("valid"),
            sequence: Some(7),
            device: None,
        };
        connection.send(&ephemeral(ServerMessage::HealthWaveform(strip))).await;
        let left = PresenceUpdate { user_id: "dan".parse().expect("valid"), presence: Presence::Left };
        connection.send(&ephemeral(ServerMessage::PresenceUpdate(left))).await;
        assert!(connection.hear().await.is_none(), "it has enough");
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    ended.expect("watched");
    assert_eq!(
        events.text(),
        "2026-11-23T12:00:00.000000Z          ecg_lead_ii  ▁ █  mV #7\n\
         2026-11-23T12:00:00.000000Z          dan  has left\n"
    );
    assert_eq!(
        notes.text(),
        "watching the newest values of health:patient-1\n\
         nora (nurse) watches, since 2026-11-23T12:00:00.000000Z\n\
         12 values were replaced by newer ones before they could be sent\n"
    );
}

#[tokio::test]
async fn a_server_that_does_not_tell_who_is_there_is_watched_all_the_same() {
    let peer = ScriptedPeer::bind().await;
    let (mut watch, events, notes) = watch(&peer, None, 1, Format::Json);
    let wanted = Wanted { include: vec![Ephemeral::Presence], ..Wanted::default() };
    watch.tail = Tail::new("health:patient-1".parse().expect("valid"), wanted);
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        take_subscription(&mut connection, 3, None).await;
        let request = connection.hear().await.expect("a message");
        connection.refuse(&request, ErrorCode::UnknownType, None).await;
        connection.send(&event(4)).await;
        assert!(connection.hear().await.is_none());
    };
    let (ended, ()) = tokio::join!(watch.run(pending()), server);
    ended.expect("watched");
    assert_eq!(events.text(), format!("{}\n", event(4).to_text()));
    assert!(
        notes.text().ends_with("the server does not tell who is there: unknown_type\n"),
        "{}",
        notes.text()
    );
}
