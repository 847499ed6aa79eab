//! Connections that fail, sessions that go on, and events that are sent again.

use healthmate_protocol::{Delivery, Interest, SubscribeSince};

use super::*;
use crate::history::Fault;
use crate::lost::Lost;

/// Subscribes, and answers as the log reaching from 1 to `head`.
fn subscribe(bench: &mut Bench, text: &str, head: u64) {
    let request = bench.send(text).request();
    bench.input(at(1), Input::TopicOpened(request, Ok(log(1, head))));
    assert_eq!(bench.names(), ["subscription_success"]);
}

fn kept(bench: &Bench) -> Lost {
    match bench.actions.first() {
        Some(Action::Keep(lost)) => (**lost).clone(),
        other => panic!("nothing is kept: {other:?}"),
    }
}

fn lost_with_two_topics() -> Lost {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    subscribe(&mut bench, r#"{"type":"subscribe","topic":"health:ana","acknowledge":true}"#, 9);
    subscribe(&mut bench, r#"{"type":"subscribe","topic":"health:ben","delivery":"latest"}"#, 4);
    bench.send(r#"{"type":"acknowledge","topic":"health:ana","offset":11}"#);
    assert!(bench.actions.is_empty());
    bench.input(at(5), Input::Lost(Fault::TransportFailed));
    assert_eq!(bench.session.state(), State::Error);
    kept(&bench)
}

#[test]
fn a_lost_connection_keeps_its_subscriptions_and_what_was_acknowledged() {
    let lost = lost_with_two_topics();
    assert_eq!((lost.session_id.as_str(), lost.connection_id.as_str()), ("5e55", "c0"));
    let topics: Vec<_> = lost
        .topics
        .iter()
        .map(|topic| (topic.topic.to_string(), topic.acknowledge, topic.since.offset.0))
        .collect();
    assert_eq!(topics, [("health:ana".to_owned(), true, 11), ("health:ben".to_owned(), false, 4)]);
    assert_eq!(lost.history.last_error, Some((at(5).time, Fault::TransportFailed)));
    assert_eq!(lost.last_activity, at(1).time);
}

#[test]
fn nothing_is_kept_of_those_who_close_or_were_never_known() {
    let mut polite = Bench::signed_in(user("ana", Role::Patient), Options::default());
    assert!(polite.input(at(1), Input::Disconnected).actions.is_empty());
    assert_eq!(polite.session.state(), State::Disconnected);
    let mut stranger = Bench::new(Options::default());
    assert!(stranger.input(at(1), Input::Lost(Fault::TransportFailed)).actions.is_empty());
    assert_eq!(stranger.session.state(), State::Disconnected);
}

#[test]
fn a_peer_that_answers_no_ping_may_come_back() {
    let mut bench = Bench::signed_in(user("ana", Role::Patient), Options::default());
    bench.input(at(20), Input::Tick);
    bench.input(at(45), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Keep(_), Action::Close(CloseCode::Unresponsive, _)]));
    assert_eq!(kept(&bench).history.last_error, Some((at(45).time, Fault::Unresponsive)));
    assert_eq!(bench.session.state(), State::Error);
}

#[test]
fn a_session_goes_on_from_what_the_client_has() {
    let mut bench = Bench::new(Options { pending_requests: 1, ..Options::default() });
    let come_back = r#"{"type":"authenticate","token":"t","session_id":"5e55","offsets":{"health:ana":12}}"#;
    let request = bench.send(come_back).request();
    assert!(
        matches!(&bench.actions[0], Action::Authenticate { session_id: Some(id), .. } if id.as_str() == "5e55")
    );
    let identity = Identity { lost: Some(Box::new(lost_with_two_topics())), ..user("nora", Role::Nurse) };
    bench.input(at(1), Input::Identified(request, Ok(identity)));
    assert_eq!(bench.names(), ["authentication_success"]);
    assert!(matches!(&bench.messages()[0].message,
        Message::AuthenticationSuccess(success) if success.resumed == Some(true) && success.session_id.as_str() == "5e55"));
    let opened: Vec<_> = bench
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::OpenTopic(request, topic, _) => Some((*request, topic.to_string())),
            _ => None,
        })
        .collect();
    let [(ana, _), (ben, _)] = opened[..] else { panic!("{opened:?}") };
    // What goes on by itself takes no place of what the client asks for.
    bench.send(r#"{"type":"get_health_data","patient":"ana"}"#).request();

    bench.input(at(1), Input::TopicOpened(ana, Ok(log(1, 15))));
    assert!(matches!(&bench.actions[1], Action::StartDelivery { after: Offset(12), .. }));
    bench.input(at(1), Input::TopicOpened(ben, Ok(log(1, 15))));
    let latest = Interest { delivery: Delivery::Latest, ..Interest::default() };
    assert!(matches!(&bench.actions[1], Action::StartDelivery { interest, .. } if *interest == latest));
    let hears_all = |name: &str| bench.session.hears_all(&name.parse().expect("a topic"));
    assert_eq!(
        [hears_all("health:ana"), hears_all("health:ben"), hears_all("health:eva")],
        [true, false, false]
    );
    assert_eq!(
        bench.session.history().and_then(|history| history.last_error),
        Some((at(5).time, Fault::TransportFailed))
    );
}

#[test]
fn a_topic_the_client_does_not_name_goes_on_after_what_it_acknowledged_and_rights_are_asked_again() {
    let mut bench = Bench::new(Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"t","session_id":"5e55"}"#).request();
    let identity = Identity { lost: Some(Box::new(lost_with_two_topics())), ..user("nora", Role::Nurse) };
    bench.input(at(1), Input::Identified(request, Ok(identity)));
    let [_, Action::OpenTopic(ana, ..), Action::OpenTopic(ben, ..)] = &bench.actions[..] else {
        panic!("{:?}", bench.actions)
    };
    let (ana, ben) = (*ana, *ben);
    bench.input(at(1), Input::TopicOpened(ana, Ok(log(1, 15))));
    assert!(matches!(&bench.actions[1], Action::StartDelivery { after: Offset(11), .. }));
    bench.input(at(1), Input::TopicOpened(ben, Err(Refused::new(ErrorCode::AccessDenied, "no longer"))));
    assert_eq!(bench.names(), ["subscription_denied"]);
}

#[test]
fn a_session_that_is_gone_is_said_to_be() {
    let mut bench = Bench::new(Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"t","session_id":"dead"}"#).request();
    bench.input(at(1), Input::Identified(request, Ok(user("nora", Role::Nurse))));
    assert!(matches!(&bench.messages()[0].message,
        Message::AuthenticationSuccess(success) if success.resumed == Some(false) && success.session_id.as_str() == "5e55"));
    let late = bench.send(r#"{"type":"authenticate","token":"t","session_id":"dead"}"#).error();
    assert_eq!(late, (ErrorCode::InvalidField, Some("session_id".into())));
}

#[test]
fn a_connection_that_fails_again_while_it_goes_on_loses_nothing() {
    let mut bench = Bench::new(Options::default());
    let request = bench
        .send(r#"{"type":"authenticate","token":"t","session_id":"5e55","offsets":{"health:ana":12}}"#)
        .request();
    let lost = lost_with_two_topics();
    let identity = Identity { lost: Some(Box::new(lost)), ..user("nora", Role::Nurse) };
    bench.input(at(1), Input::Identified(request, Ok(identity)));
    bench.input(at(2), Input::Lost(Fault::TransportFailed));
    let since = SubscribeSince { epoch: epoch(), offset: Offset(12) };
    assert_eq!(kept(&bench).topics.iter().map(|topic| topic.since.clone()).collect::<Vec<_>>()[0], since);
    assert_eq!(kept(&bench).topics.len(), 2);
}

/// Looks at the delivery at `seconds`, when `position` was delivered.
fn review(bench: &mut Bench, seconds: u64, position: Option<u64>) -> Vec<String> {
    let ticked = bench
        .input(at(seconds), Input::Tick)
        .actions
        .iter()
        .any(|action| matches!(action, Action::ReviewDelivery(_)));
    assert!(ticked, "no look at {seconds} s");
    let topic = Topic::health(UserId::new("ana").expect("valid"));
    bench.input(at(seconds), Input::DeliveryReviewed { topic, position: position.map(Offset), chance: 0.5 });
    bench.actions.iter().map(|action| format!("{action:?}")).collect()
}

fn acknowledging() -> Bench {
    let forever = Duration::from_hours(100);
    let mut options = Options { ping_after: forever, gone_after: forever, ..Options::default() };
    options.redelivery.attempts = 2;
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), options);
    bench.input(at(1), Input::Tick);
    subscribe(&mut bench, r#"{"type":"subscribe","topic":"health:ana","acknowledge":true}"#, 9);
    bench
}

#[test]
fn what_stays_unacknowledged_is_sent_again_with_growing_pauses_and_then_given_up() {
    let mut bench = acknowledging();
    // Delivered since the last look: the client has until the next.
    assert_eq!(review(&mut bench, 6, Some(12)), [""; 0]);
    assert_eq!(review(&mut bench, 11, Some(12)), ["Redeliver(health:ana, 9)"]);
    assert_eq!(bench.session.history().map(|history| history.retry_count), Some(1));
    // 5 s, and half of at most 5 s.
    assert_eq!(bench.session.deadline(), Some(at(11).instant + Duration::from_millis(7500)));
    assert_eq!(review(&mut bench, 19, Some(12)), ["Redeliver(health:ana, 9)"]);
    // 5 s, and half of at most 10 s.
    assert_eq!(bench.session.deadline(), Some(at(29).instant));
    let ended = review(&mut bench, 29, Some(12));
    assert_eq!(
        ended,
        ["StopDelivery(health:ana)", "DeliveryFailed(health:ana, 9, 12)", "Send(subscription_denied)"]
    );
    assert_eq!(bench.session.topics().count(), 0);
    let history = bench.session.history().expect("signed in");
    assert_eq!((history.retry_count, history.last_error), (2, Some((at(29).time, Fault::NotAcknowledged))));
}

#[test]
fn progress_and_waiting_in_the_server_put_it_off() {
    let mut bench = acknowledging();
    assert_eq!(review(&mut bench, 6, Some(12)), [""; 0]);
    bench.send(r#"{"type":"acknowledge","topic":"health:ana","offset":10}"#);
    assert_eq!(review(&mut bench, 11, Some(12)), [""; 0], "it made progress");
    assert_eq!(review(&mut bench, 16, None), [""; 0], "the socket is full: it cannot have it");
    bench.send(r#"{"type":"acknowledge","topic":"health:ana","offset":99}"#);
    assert_eq!(review(&mut bench, 21, Some(12)), [""; 0], "all is dealt with, and no more than was sent");
    assert_eq!(review(&mut bench, 26, Some(13)), [""; 0]);
    assert_eq!(review(&mut bench, 31, Some(13)), ["Redeliver(health:ana, 12)"]);
}

#[test]
fn only_durable_subscriptions_are_acknowledged() {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    let acknowledge = r#"{"type":"acknowledge","topic":"health:ana","offset":1}"#;
    assert_eq!(bench.send(acknowledge).error().0, ErrorCode::NotSubscribed);
    for (field, text) in
        [("acknowledge", r#""acknowledge":true"#), ("since", r#""since":{"epoch":"e1","offset":1}"#)]
    {
        let refused =
            bench.send(&format!(r#"{{"type":"subscribe","topic":"health:ana","delivery":"latest",{text}}}"#));
        assert_eq!(refused.error(), (ErrorCode::InvalidField, Some(field.into())));
    }
    subscribe(&mut bench, r#"{"type":"subscribe","topic":"health:ana","delivery":"latest"}"#, 3);
    assert_eq!(bench.send(acknowledge).error().0, ErrorCode::NotSubscribed);
}

const STRIP: &str = r#"{"waveform":"ecg_lead_ii","unit":"mV","started_at":"2026-11-23T07:00:00Z","sample_rate_hz":250,"samples":[0.1,null]}"#;

#[test]
fn a_waveform_is_passed_on_and_a_wrong_one_is_refused_by_field() {
    let mut bench = Bench::signed_in(user("watch", Role::Device), Options::default());
    bench.send(&format!(r#"{{"type":"health_waveform","data":{STRIP}}}"#));
    let [Action::Broadcast { event, topic, .. }] = &bench.actions[..] else { panic!("{:?}", bench.actions) };
    assert_eq!((topic.to_string().as_str(), event.offset), ("health:ana", None));
    let wrong = STRIP.replace("mV", "V");
    let refused = bench.send(&format!(r#"{{"type":"health_waveform","data":{wrong}}}"#)).error();
    assert_eq!(refused, (ErrorCode::UnknownUnit, Some("data.unit".into())));
    let foreign = format!(r#"{{"type":"health_waveform","patient":"ben","data":{STRIP}}}"#);
    assert_eq!(bench.send(&foreign).error(), (ErrorCode::AccessDenied, Some("patient".into())));
    let last = bench.session.history().and_then(|history| history.last_error);
    assert_eq!(last, Some((at(1).time, Fault::Refused(ErrorCode::AccessDenied))));
}
