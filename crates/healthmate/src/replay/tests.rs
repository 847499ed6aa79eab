//! The device client against a scripted server, over a real socket.

use std::collections::BTreeSet;
use std::future::pending;

use healthmate_care::ManualClock;
use healthmate_protocol::server::AuthenticationFailed;
use healthmate_protocol::{MeasurementData, Offset};

use super::*;
use crate::client::scripted_peer::{ScriptedPeer, noon};
use crate::client::{Backoff, Target, Token};

struct Silent;

impl Link for Silent {
    fn cut(&mut self, _: &ClientError, _: Duration) {}
    fn restored(&mut self) {}
}

impl Observer for Silent {
    fn begins(&mut self, _: Option<u64>) {}
    fn moved(&mut self, _: Counts) {}
}

/// A replay of 20 rows that are all due.
fn replay(peer: &ScriptedPeer) -> Replay {
    let rows: Vec<_> = (0..20).map(|row| format!("{},{}", row * 1000, 60 + row)).collect();
    let csv = format!("t_ms,bpm\n{}\n", rows.join("\n"));
    let recording = Recording::read("test", csv.as_bytes(), &Selection::default()).expect("valid");
    let target = Target::new(&peer.server(), "/ws/health").expect("valid");
    let token = Box::new(|| Ok(Token::new("planted-token")));
    let backoff = Backoff::within(Duration::from_millis(1), Duration::from_millis(2), 1);
    Replay {
        recording: Arc::new(recording),
        patient: "patient-1".parse().expect("valid"),
        pace: Pace { speed: 1.0, looped: false, history_ms: 600_000 },
        clock: Arc::new(ManualClock::new(noon())),
        reconnect: Reconnect::new(target, token, backoff),
        observer: Box::new(Silent),
    }
}

fn names(batch: &[healthmate_protocol::MeasurementInput]) -> Vec<String> {
    batch.iter().map(|input| input.client_id.clone().expect("named").to_string()).collect()
}

#[tokio::test]
async fn every_row_arrives_once_though_the_server_cuts_and_forgets_to_answer() {
    let peer = ScriptedPeer::bind().await;
    let server = async {
        let mut stored = Vec::new();
        let (mut connection, sign_in) = peer.accept_signed_in().await;
        assert_eq!(sign_in.token, "planted-token");
        connection.answer_history(None).await;
        let (request, batch) = connection.hear_batch().await;
        stored.extend(names(&batch));
        connection.acknowledge(&request, &batch, 1).await;
        // Stored, and cut before the answer: the client cannot know.
        let (_, unanswered) = connection.hear_batch().await;
        stored.extend(names(&unanswered));
        drop(connection);
        let (mut connection, _) = peer.accept_signed_in().await;
        let (request, again) = connection.hear_batch().await;
        assert_eq!(names(&again), names(&unanswered), "the same rows under the same names");
        connection.acknowledge(&request, &again, 1).await;
        connection.close(4000).await;
        let (mut connection, _) = peer.accept_signed_in().await;
        while stored.len() < 20 {
            let (request, batch) = connection.hear_batch().await;
            stored.extend(names(&batch));
            connection.acknowledge(&request, &batch, 1).await;
        }
        assert!(connection.hear().await.is_none(), "the client says good-bye");
        stored
    };
    let (counts, stored) = tokio::join!(replay(&peer).run(pending()), server);
    let counts = counts.expect("replayed");
    assert_eq!((counts.sent, counts.acknowledged, counts.skipped), (20, 20, 0));
    assert!(counts.resent > 0);
    let start_ms = noon().plus_millis(-600_000).as_micros() / 1000;
    let expected: Vec<_> = (0..20).map(|row| format!("test:{start_ms}:0:{row}")).collect();
    assert_eq!(stored, expected, "in order, without a hole");
    assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test]
async fn a_later_process_goes_on_after_the_newest_stored_row() {
    let peer = ScriptedPeer::bind().await;
    let start = noon().plus_millis(-30_000);
    let start_ms = start.as_micros() / 1000;
    let newest = RecordedMeasurement {
        offset: Offset(18),
        data: MeasurementData {
            patient: "patient-1".parse().expect("valid"),
            metric: "heart_rate".to_owned(),
            value: 77.0,
            unit: "/min".to_owned(),
            taken_at: start.plus_millis(17_000),
            recorded_at: noon(),
            author: "device-1".parse().expect("valid"),
            client_id: Some(format!("test:{start_ms}:0:17").parse().expect("valid")),
            device: None,
            original: None,
            flags: Vec::new(),
        },
    };
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.answer_history(Some(newest)).await;
        let (request, batch) = connection.hear_batch().await;
        assert_eq!(names(&batch), [format!("test:{start_ms}:0:18"), format!("test:{start_ms}:0:19")]);
        connection.acknowledge(&request, &batch, 19).await;
        assert!(connection.hear().await.is_none());
    };
    let (counts, ()) = tokio::join!(replay(&peer).run(pending()), server);
    assert_eq!(counts.expect("replayed").acknowledged, 2);
}

#[tokio::test]
async fn refused_values_are_skipped_and_a_busy_server_is_asked_again() {
    let peer = ScriptedPeer::bind().await;
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.answer_history(None).await;
        let (request, batch) = connection.hear_batch().await;
        connection.refuse(&request, ErrorCode::StorageUnavailable, None).await;
        let (request, again) = connection.hear_batch().await;
        assert_eq!(names(&again), names(&batch));
        connection.refuse(&request, ErrorCode::ImplausibleValue, Some("batch[1].value")).await;
        let (request, without) = connection.hear_batch().await;
        assert_eq!(without.len(), batch.len() - 1);
        assert!(!names(&without).contains(&names(&batch)[1]));
        connection.acknowledge(&request, &without, 1).await;
        let mut seen = without.len();
        while seen < 19 {
            let (request, batch) = connection.hear_batch().await;
            seen += batch.len();
            connection.acknowledge(&request, &batch, 1).await;
        }
    };
    let (counts, ()) = tokio::join!(replay(&peer).run(pending()), server);
    let counts = counts.expect("replayed");
    assert_eq!((counts.sent, counts.acknowledged, counts.skipped), (20, 19, 1));
}

#[tokio::test]
async fn a_refusal_of_the_whole_or_of_the_token_ends_it_with_a_sentence_without_the_token() {
    let peer = ScriptedPeer::bind().await;
    let denied = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.answer_history(None).await;
        let (request, _) = connection.hear_batch().await;
        connection.refuse(&request, ErrorCode::AccessDenied, None).await;
        assert!(connection.hear().await.is_none());
    };
    let (ended, ()) = tokio::join!(replay(&peer).run(pending()), denied);
    assert_eq!(ended.expect_err("refused").to_string(), "the server refuses: access_denied (no)");

    let refused = async {
        let mut connection = peer.accept().await;
        assert!(connection.hear().await.is_some());
        connection.close(4500).await;
    };
    let (ended, ()) = tokio::join!(replay(&peer).run(pending()), refused);
    let error = ended.expect_err("refused");
    assert_eq!(error.to_string(), "the server closed the connection with 4500: because");
    assert!(!format!("{error:?}").contains("planted-token"));
}

#[tokio::test]
async fn stopping_says_good_bye_and_tells_what_was_done() {
    let peer = ScriptedPeer::bind().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.answer_history(None).await;
        let (request, batch) = connection.hear_batch().await;
        connection.acknowledge(&request, &batch, 1).await;
        // The next batch shows that the acknowledgment has arrived.
        let (_, _) = connection.hear_batch().await;
        stop.send(()).expect("the replay runs");
        assert_eq!(connection.hear_close().await, Some(1000));
        batch.len() as u64
    };
    let (counts, acknowledged) = tokio::join!(replay(&peer).run(async { drop(stopped.await) }), server);
    let counts = counts.expect("stopped");
    assert_eq!(counts.acknowledged, acknowledged);
    assert!(counts.sent > counts.acknowledged);
}

#[tokio::test]
async fn a_token_that_ends_is_followed_by_the_next_one() {
    let peer = ScriptedPeer::bind().await;
    let mut replay = replay(&peer);
    let made = std::sync::atomic::AtomicU32::new(0);
    let token = Box::new(move || {
        let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Token::new(&format!("token-{number}")))
    });
    let target = Target::new(&peer.server(), "/ws/health").expect("valid");
    let backoff = Backoff::within(Duration::from_millis(1), Duration::from_millis(2), 1);
    replay.reconnect = Reconnect::new(target, token, backoff);
    let server = async {
        let (mut connection, sign_in) = peer.accept_signed_in().await;
        assert_eq!(sign_in.token, "token-0");
        connection.answer_history(None).await;
        let (_, cut) = connection.hear_batch().await;
        let ended = AuthenticationFailed {
            code: ErrorCode::TokenExpired,
            message: "the token has ended".to_owned(),
            retry: false,
        };
        connection.say(ServerMessage::AuthenticationFailed(ended)).await;
        connection.close(4500).await;
        let (mut connection, sign_in) = peer.accept_signed_in().await;
        assert_eq!(sign_in.token, "token-1");
        let (request, batch) = connection.hear_batch().await;
        assert_eq!(names(&batch), names(&cut));
        connection.refuse(&request, ErrorCode::AccessDenied, None).await;
        assert!(connection.hear().await.is_none());
    };
    let (ended, ()) = tokio::join!(replay.run(pending()), server);
    assert!(matches!(ended, Err(ReplayError::Refused { code: ErrorCode::AccessDenied, .. })));
}
