//! What time brings, at its limits and one past them.

use healthmate_care::Reason;
use healthmate_care::access::Until;

use super::*;

#[test]
fn heartbeats_come_at_their_interval() {
    let mut bench = patient(|_| {});
    assert_eq!(bench.session.deadline(), Some(at(30).instant));
    assert!(bench.input(at(29), Input::Tick).actions.is_empty());
    assert!(matches!(bench.input(at(30), Input::Tick).actions[..], [Action::SendHeartbeat]));
    assert_eq!(bench.session.deadline(), Some(at(60).instant));
}

#[test]
fn an_idle_connection_ends_at_its_limit_and_pongs_do_not_count() {
    let mut bench = patient(|options| options.idle_timeout = Duration::from_secs(60));
    bench.input(at(50), Input::Pong);
    bench.input(at(59), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::SendHeartbeat]));
    bench.input(at(60), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::IdleTimeout, _)]));

    let mut busy = patient(|options| options.idle_timeout = Duration::from_secs(60));
    busy.input(at(50), Input::Ping);
    busy.input(at(60), Input::Tick);
    assert!(matches!(busy.actions[..], [Action::SendHeartbeat]));
}

#[test]
fn a_silent_peer_is_pinged_and_gone_if_it_does_not_answer() {
    let limits = |options: &mut Options| {
        options.ping_after = Duration::from_secs(20);
        options.gone_after = Duration::from_secs(45);
        options.heartbeat_interval = Duration::from_secs(1000);
    };
    let mut bench = patient(limits);
    assert_eq!(bench.session.deadline(), Some(at(20).instant));
    assert!(matches!(bench.input(at(20), Input::Tick).actions[..], [Action::SendPing]));
    assert!(bench.input(at(30), Input::Tick).actions.is_empty(), "one ping for one silence");
    bench.input(at(31), Input::Pong);
    assert!(matches!(bench.input(at(51), Input::Tick).actions[..], [Action::SendPing]));
    assert!(bench.input(at(75), Input::Tick).actions.is_empty());
    bench.input(at(76), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Keep(_), Action::Close(CloseCode::Unresponsive, _)]));
}

#[test]
fn a_token_that_ends_ends_the_connection_and_a_fresh_one_keeps_it() {
    let mut bench = patient(|_| {});
    let request = bench.send(r#"{"type":"authenticate","token":"fresh"}"#).request();
    let fresh = Identity { expires_at: at(8995).time, ..user("ana", Role::Patient) };
    bench.input(at(1), Input::Identified(request, Ok(fresh)));
    assert_eq!(bench.names(), ["authentication_success"]);
    assert!(matches!(bench.input(at(7200), Input::Tick).actions[..], [Action::SendHeartbeat]));
    bench.input(at(8935), Input::Tick);
    assert_eq!(bench.names(), ["token_expiring"]);
    // 5 s of leeway and 25 s of grace.
    assert!(
        !bench.input(at(9024), Input::Tick).actions.iter().any(|action| matches!(action, Action::Close(..)))
    );
    bench.input(at(9025), Input::Tick);
    assert_eq!(bench.names(), ["authentication_failed"]);
    assert!(matches!(bench.actions[1], Action::Close(CloseCode::TokenEnded, _)));
}

/// The warnings that come until `until`, each with its second and what it says is left, where the session is looked at
/// when it asks to be.
fn warnings(bench: &mut Bench, until: u64) -> Vec<(u64, u32)> {
    let mut told = Vec::new();
    for second in 1..=until {
        bench.input(at(second), Input::Tick);
        told.extend(bench.messages().iter().filter_map(|envelope| match &envelope.message {
            ServerMessage::TokenExpiring(expiring) => Some((second, expiring.seconds)),
            _ => None,
        }));
    }
    told
}

#[test]
fn the_end_of_a_token_is_told_once_and_again_for_a_fresh_one() {
    let quiet = |options: &mut Options| {
        options.heartbeat_interval = Duration::from_secs(1_000_000);
        options.ping_after = Duration::from_secs(900_000);
        options.gone_after = Duration::from_secs(999_999);
        options.idle_timeout = Duration::from_secs(999_999);
    };
    let with = |expires: u64, change: fn(&mut Options)| {
        let mut options = Options::default();
        quiet(&mut options);
        change(&mut options);
        let identity = Identity { expires_at: at(expires).time, ..user("ana", Role::Patient) };
        Bench::signed_in(identity, options)
    };
    let mut bench = with(200, |_| {});
    let due = bench.session.deadline().expect("open").saturating_duration_since(at(140).instant);
    assert!(due <= Duration::from_millis(1), "{due:?}");
    assert_eq!(warnings(&mut bench, 150), [(140, 60)]);
    let request = bench.send(r#"{"type":"authenticate","token":"fresh"}"#).request();
    let fresh = Identity { expires_at: at(400).time, ..user("ana", Role::Patient) };
    bench.input(at(150), Input::Identified(request, Ok(fresh)));
    assert_eq!(warnings(&mut bench, 420), [(340, 60)]);
    assert_eq!(warnings(&mut with(30, |_| {}), 54), [(15, 15)], "half of a short life first");
    assert_eq!(warnings(&mut with(200, |options| options.warn_before = Duration::ZERO), 220), []);
}

#[test]
fn a_token_is_good_for_its_leeway_and_a_shorter_one_counts_at_once() {
    let mut bench = patient(|options| {
        options.heartbeat_interval = Duration::from_secs(1_000_000);
        options.warn_before = Duration::ZERO;
        options.expiry_grace = Duration::ZERO;
    });
    assert!(bench.input(at(7204), Input::Tick).actions.is_empty());
    let request = bench.send(r#"{"type":"authenticate","token":"shorter"}"#).request();
    let shorter = Identity { expires_at: at(10).time, ..user("ana", Role::Patient) };
    bench.input(at(1), Input::Identified(request, Ok(shorter)));
    let deadline = bench.session.deadline().expect("open").saturating_duration_since(at(15).instant);
    assert!(deadline <= Duration::from_millis(1), "{deadline:?}");
}

#[test]
fn access_ends_when_its_time_has_come_or_it_is_decided_so() {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    let until = |second| Some(Until { at: at(second).time, then: Reason::Ended });
    for (topic, until) in [("ana", until(10)), ("ben", None)] {
        let request = bench.send(&format!(r#"{{"type":"subscribe","topic":"health:{topic}"}}"#)).request();
        bench.input(at(1), Input::TopicOpened(request, Ok(OpenedTopic { until, ..log(1, 0) })));
    }
    assert!(bench.input(at(9), Input::Tick).actions.is_empty());
    bench.input(at(10), Input::Tick);
    assert_eq!(bench.names(), ["subscription_denied"]);
    assert!(matches!(&bench.actions[0], Action::RevokeDelivery(topic) if topic.to_string() == "health:ana"));

    let ben = || "health:ben".parse().expect("valid");
    assert!(bench.input(at(11), Input::AccessDecided(ben(), Ok(until(20)))).actions.is_empty());
    assert!(bench.session.deadline().expect("open") <= at(21).instant);
    let refused = Refused::new(ErrorCode::AccessDenied, "no longer");
    bench.input(at(12), Input::AccessDecided(ben(), Err(refused.clone())));
    assert_eq!(bench.names(), ["subscription_denied"]);
    assert_eq!(bench.session.topics().count(), 0);
    assert!(bench.input(at(13), Input::AccessDecided(ben(), Err(refused))).actions.is_empty(), "told once");
}

#[test]
fn a_token_that_is_checked_too_slowly_may_come_back() {
    let mut bench = Bench::new(Options::default());
    bench.send(r#"{"type":"authenticate","token":"t"}"#);
    bench.input(at(10), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::TryAgainLater, _)]));
}

#[test]
fn no_token_in_time_closes() {
    let mut bench = Bench::new(Options::default());
    assert_eq!(bench.session.deadline(), Some(at(10).instant));
    assert!(bench.input(at(9), Input::Tick).actions.is_empty());
    bench.input(at(10), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::AuthenticationTimeout, _)]));
}
