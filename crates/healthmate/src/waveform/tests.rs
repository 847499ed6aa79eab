//! The monitor against a scripted server, over a real socket.

use std::future::pending;

use healthmate_care::SystemClock;
use healthmate_protocol::{ClientMessage, Command};

use super::*;
use crate::client::scripted_peer::{Peer, ScriptedPeer};
use crate::client::{Backoff, Target, Token};

struct Deaf;

impl Link for Deaf {
    fn cut(&mut self, _: &ClientError, _: Duration) {}
    fn restored(&mut self) {}
}

fn monitor(peer: &ScriptedPeer) -> Monitor {
    let target = Target::new(&peer.server(), "/ws/health").expect("valid");
    let token = Box::new(|| Ok(Token::new("planted-token")));
    let backoff = Backoff::within(Duration::from_millis(1), Duration::from_millis(2), 1);
    Monitor {
        ecg: Ecg::new(72.0),
        rate_hz: 1000.0,
        patient: "patient-1".parse().expect("valid"),
        duration: None,
        clock: Arc::new(SystemClock::default()),
        reconnect: Reconnect::new(target, token, backoff),
        link: Box::new(Deaf),
    }
}

/// Hears a strip and returns its number.
async fn hear_strip(peer: &mut Peer) -> (ClientMessage, u64) {
    let message = peer.hear().await.expect("a message");
    let Command::HealthWaveform(strip) = &message.command else { panic!("not {message:?}") };
    assert_eq!(strip.patient.as_ref().expect("named").as_str(), "patient-1");
    assert_eq!((strip.data.waveform.as_str(), strip.data.samples.len()), ("ecg_lead_ii", 200));
    let number = strip.data.sequence.expect("numbered");
    (message, number)
}

#[tokio::test]
async fn strips_follow_one_another_and_go_on_after_a_cut() {
    let peer = ScriptedPeer::bind().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        assert_eq!(hear_strip(&mut connection).await.1, 0);
        assert_eq!(hear_strip(&mut connection).await.1, 1);
        drop(connection);
        let (mut connection, _) = peer.accept_signed_in().await;
        assert!(hear_strip(&mut connection).await.1 >= 2);
        stop.send(()).expect("it runs");
        connection.hear_close().await
    };
    let (sent, code) = tokio::join!(monitor(&peer).run(async { drop(stopped.await) }), server);
    assert!(sent.expect("stopped") >= 3);
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn a_refusal_ends_it_unless_it_passes() {
    let peer = ScriptedPeer::bind().await;
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        let (strip, _) = hear_strip(&mut connection).await;
        connection.refuse(&strip, ErrorCode::TooManyRequests, None).await;
        let (strip, _) = hear_strip(&mut connection).await;
        connection.refuse(&strip, ErrorCode::AccessDenied, None).await;
        // It closes.
        while connection.hear().await.is_some() {}
    };
    let (ended, ()) = tokio::join!(monitor(&peer).run(pending()), server);
    assert_eq!(ended.expect_err("refused").to_string(), "the server refuses: access_denied (no)");
}

#[tokio::test]
async fn it_ends_when_its_time_is_over() {
    let peer = ScriptedPeer::bind().await;
    let monitor = Monitor { duration: Some(Duration::from_millis(300)), ..monitor(&peer) };
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.hear_close().await
    };
    let (sent, code) = tokio::join!(monitor.run(pending()), server);
    assert!(sent.expect("over") >= 1);
    assert_eq!(code, Some(1000));
}
