//! Where a watcher is, whatever comes.

use super::*;

fn topic() -> Topic {
    "health:p".parse().expect("valid")
}

fn tail(since: Option<u64>) -> Tail {
    let since =
        since.map(|offset| SubscribeSince { epoch: "e1".parse().expect("valid"), offset: Offset(offset) });
    Tail::new("health_updates".parse().expect("valid"), Wanted { since, ..Wanted::default() })
}

fn success(head: u64, gap: Option<(GapReason, Option<(u64, u64)>)>) -> SubscriptionSuccess {
    let lost = gap.and_then(|(_, lost)| lost);
    SubscriptionSuccess {
        topic: topic(),
        epoch: "e1".parse().expect("valid"),
        head: Offset(head),
        delivery: Delivery::Durable,
        resumed: gap.map(|_| Resumed::Gap),
        from: lost.map(|(from, _)| Offset(from)),
        to: lost.map(|(_, to)| Offset(to)),
        reason: gap.map(|(reason, _)| reason),
    }
}

fn at(tail: &Tail) -> u64 {
    tail.since().expect("subscribed").offset.0
}

#[test]
fn without_a_start_it_begins_after_the_head() {
    let mut tail = tail(None);
    assert_eq!(tail.subscribe().to_text(), r#"{"type":"subscribe","topic":"health_updates"}"#);
    assert_eq!(tail.event(&topic(), Offset(1), "heart_rate"), Step::PassOver, "before the subscription");
    assert_eq!(tail.subscribed(&success(41, None)), None);
    assert_eq!(tail.name(), "health:p");
    assert_eq!(tail.event(&topic(), Offset(42), "heart_rate"), Step::Show);
    assert_eq!(
        tail.subscribe().to_text(),
        r#"{"type":"subscribe","topic":"health_updates","since":{"epoch":"e1","offset":42}}"#
    );
}

#[test]
fn repeats_are_passed_over_and_holes_are_found() {
    let mut tail = tail(Some(5));
    tail.subscribed(&success(9, None));
    assert_eq!(tail.event(&topic(), Offset(5), "heart_rate"), Step::PassOver);
    assert_eq!(tail.event(&topic(), Offset(6), "heart_rate"), Step::Show);
    assert_eq!(tail.event(&topic(), Offset(6), "heart_rate"), Step::PassOver);
    let Step::Hole(hole) = tail.event(&topic(), Offset(8), "heart_rate") else { panic!("7 did not come") };
    assert_eq!(hole.to_string(), "event 8 came where 7 was next");
    assert_eq!(at(&tail), 6, "it asks again after the last one shown");
    assert_eq!(tail.event(&"health:q".parse().expect("valid"), Offset(7), "heart_rate"), Step::PassOver);
}

#[test]
fn after_a_gap_it_goes_on_where_the_server_does() {
    let mut resumed = tail(Some(5));
    let gap = resumed.subscribed(&success(20, Some((GapReason::Retention, Some((6, 9)))))).expect("a gap");
    assert_eq!(gap.to_string(), "gap: events 6 to 9 are gone: the log no longer keeps them");
    assert_eq!(resumed.event(&topic(), Offset(10), "heart_rate"), Step::Show);

    let mut restored = tail(Some(50));
    let gap = restored.subscribed(&success(3, Some((GapReason::NewEpoch, None)))).expect("a gap");
    assert!(gap.to_string().contains("counts anew"));
    assert_eq!(restored.event(&topic(), Offset(1), "heart_rate"), Step::Show);
}

#[test]
fn a_head_that_stays_ahead_over_two_heartbeats_is_a_missing_event() {
    let mut tail = tail(Some(5));
    tail.subscribed(&success(5, None));
    let heads = |head| Heartbeat {
        epoch: "e1".parse().expect("valid"),
        heads: [("health:p".to_owned(), Offset(head))].into(),
    };
    assert!(!tail.is_behind(&heads(5)));
    assert!(!tail.is_behind(&heads(7)), "it may be on its way");
    assert_eq!(tail.event(&topic(), Offset(6), "heart_rate"), Step::Show);
    assert!(!tail.is_behind(&heads(7)), "it moved");
    assert!(tail.is_behind(&heads(7)));
    tail.subscribed(&success(7, None));
    assert!(!tail.is_behind(&heads(7)), "a new subscription starts afresh");
}

#[test]
fn a_session_that_goes_on_is_told_the_place_and_not_asked_again() {
    let mut tail = tail(Some(5));
    assert!(tail.offsets().is_empty(), "no session has the topic yet");
    assert!(tail.connected(false).is_some());
    assert!(!tail.is_answered());
    tail.subscribed(&success(9, None));
    assert_eq!(tail.event(&topic(), Offset(6), "heart_rate"), Step::Show);
    assert_eq!(tail.offsets(), [("health:p".to_owned(), Offset(6))].into());
    assert_eq!(tail.connected(true), None);
    assert!(!tail.is_answered());
    let complete = SubscriptionSuccess { resumed: Some(Resumed::Complete), ..success(9, None) };
    assert_eq!(tail.subscribed(&complete), None);
    assert!(tail.is_answered());
    assert_eq!(tail.event(&topic(), Offset(6), "heart_rate"), Step::PassOver);
    assert_eq!(tail.event(&topic(), Offset(7), "heart_rate"), Step::Show);
}

#[test]
fn what_no_session_has_is_asked_for() {
    let mut tail = tail(Some(5));
    tail.connected(false);
    assert!(tail.connected(true).is_some(), "it was cut before the answer came");
    tail.subscribed(&success(9, None));
    assert!(tail.connected(false).is_some(), "the session is gone");
    assert!(tail.connected(true).is_some(), "and the next one was cut before the answer came");
    tail.subscribed(&success(9, None));
    tail.refused();
    assert!(tail.connected(true).is_some(), "the session gave it up");
}

#[test]
fn newest_values_are_shown_as_they_come_and_none_twice() {
    let wanted =
        Wanted { delivery: Delivery::Latest, include: vec![Ephemeral::Waveform], ..Wanted::default() };
    let mut tail = Tail::new("health_updates".parse().expect("valid"), wanted);
    let request = tail.connected(false).expect("a new session").to_text();
    assert_eq!(
        request,
        r#"{"type":"subscribe","topic":"health_updates","delivery":"latest","include":["waveform"]}"#
    );
    let begin = |epoch: &str| SubscriptionSuccess {
        epoch: epoch.parse().expect("valid"),
        delivery: Delivery::Latest,
        ..success(41, None)
    };
    tail.subscribed(&begin("e1"));
    assert_eq!((tail.since(), tail.offsets().len()), (None, 0));
    assert_eq!(tail.event(&topic(), Offset(7), "body_weight"), Step::Show);
    assert_eq!(tail.event(&topic(), Offset(41), "heart_rate"), Step::Show);
    assert_eq!(tail.event(&topic(), Offset(60), "heart_rate"), Step::Show, "what was between is merged");
    tail.subscribed(&begin("e1"));
    assert_eq!(tail.event(&topic(), Offset(60), "heart_rate"), Step::PassOver);
    assert_eq!(tail.event(&"health:q".parse().expect("valid"), Offset(61), "heart_rate"), Step::PassOver);
    tail.subscribed(&begin("e2"));
    assert_eq!(tail.event(&topic(), Offset(1), "heart_rate"), Step::Show, "another epoch counts anew");
}
