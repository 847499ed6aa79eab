//! Where a watcher is in a topic, and what an event means for it. Pure.

use std::fmt;

use healthmate_protocol::client::Subscribe;
use healthmate_protocol::server::{GapReason, Heartbeat, Resumed, SubscriptionSuccess};
use healthmate_protocol::{ClientMessage, Command, Offset, SubscribeSince, Topic, TopicName};

/// A watcher's place in a topic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tail {
    name: TopicName,
    /// The topic in full, once the server has told.
    topic: Option<Topic>,
    /// The last event that was shown; `None` before the first subscription without a start.
    since: Option<SubscribeSince>,
    /// The place at the heartbeat before, if it was behind then.
    behind_at: Option<Offset>,
}

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one.
    Show,
    /// It was shown before, or belongs to another topic.
    PassOver,
    /// One before it did not come.
    Hole(Hole),
}

/// Events that should have come before this one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    expected: Offset,
    got: Offset,
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} came where {} was next", self.got, self.expected)
    }
}

/// Events that are gone for this watcher.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The first and last offset that is gone, if any is.
    pub(crate) lost: Option<(Offset, Offset)>,
    /// Why.
    pub(crate) reason: GapReason,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason {
            GapReason::Retention => "the log no longer keeps them",
            GapReason::NewEpoch => "the store was restored, and counts anew",
            GapReason::AheadOfLog => "the log does not reach as far as this watcher did",
        };
        match self.lost {
            Some((from, to)) => write!(f, "gap: events {from} to {to} are gone: {why}"),
            None => write!(f, "gap: starting from the oldest event: {why}"),
        }
    }
}

impl Tail {
    /// Watches `name` after `since`, or from now on.
    pub(crate) fn new(name: TopicName, since: Option<SubscribeSince>) -> Self {
        Self { name, topic: None, since, behind_at: None }
    }

    /// The topic, in full once the server has told.
    pub(crate) fn name(&self) -> String {
        self.topic.as_ref().map_or_else(|| self.name.to_string(), Topic::to_string)
    }

    /// The last event that was shown.
    pub(crate) fn since(&self) -> Option<&SubscribeSince> {
        self.since.as_ref()
    }

    /// Asks for what follows.
    pub(crate) fn subscribe(&self) -> ClientMessage {
        let subscribe = Subscribe { since: self.since.clone(), ..Subscribe::new(self.name.clone()) };
        ClientMessage { correlation_id: None, command: Command::Subscribe(subscribe) }
    }

    /// The server took the subscription; returns what is gone.
    pub(crate) fn subscribed(&mut self, success: &SubscriptionSuccess) -> Option<Gap> {
        self.topic = Some(success.topic.clone());
        self.behind_at = None;
        let gap = match (success.resumed, success.reason) {
            (Some(Resumed::Gap), Some(reason)) => Some(Gap { lost: success.from.zip(success.to), reason }),
            _ => None,
        };
        let after = match (&gap, &self.since) {
            (Some(Gap { lost: Some((_, to)), .. }), _) => *to,
            (Some(_), _) => Offset::START,
            (None, Some(since)) => since.offset,
            (None, None) => success.head,
        };
        self.since = Some(SubscribeSince { epoch: success.epoch.clone(), offset: after });
        gap
    }

    /// An event came.
    pub(crate) fn event(&mut self, topic: &Topic, offset: Offset) -> Step {
        let Some(since) = self.since.as_mut().filter(|_| self.topic.as_ref() == Some(topic)) else {
            return Step::PassOver;
        };
        let expected = since.offset.next();
        if offset < expected {
            return Step::PassOver;
        }
        if offset > expected {
            return Step::Hole(Hole { expected, got: offset });
        }
        since.offset = offset;
        Step::Show
    }

    /// Whether an event is missing: the topic's head lies ahead at two heartbeats, and nothing came between them.
    pub(crate) fn is_behind(&mut self, heartbeat: &Heartbeat) -> bool {
        let Some((topic, since)) = self.topic.as_ref().zip(self.since.as_ref()) else {
            return false;
        };
        let ahead = heartbeat.heads.get(&topic.to_string()).is_some_and(|head| *head > since.offset);
        let stuck = ahead && self.behind_at == Some(since.offset);
        self.behind_at = ahead.then_some(since.offset);
        stuck
    }
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::Delivery;

    use super::*;

    fn topic() -> Topic {
        "health:p".parse().expect("valid")
    }

    fn tail(since: Option<u64>) -> Tail {
        let since = since
            .map(|offset| SubscribeSince { epoch: "e1".parse().expect("valid"), offset: Offset(offset) });
        Tail::new("health_updates".parse().expect("valid"), since)
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
        assert_eq!(tail.event(&topic(), Offset(1)), Step::PassOver, "before the subscription");
        assert_eq!(tail.subscribed(&success(41, None)), None);
        assert_eq!(tail.name(), "health:p");
        assert_eq!(tail.event(&topic(), Offset(42)), Step::Show);
        assert_eq!(
            tail.subscribe().to_text(),
            r#"{"type":"subscribe","topic":"health_updates","since":{"epoch":"e1","offset":42}}"#
        );
    }

    #[test]
    fn repeats_are_passed_over_and_holes_are_found() {
        let mut tail = tail(Some(5));
        tail.subscribed(&success(9, None));
        assert_eq!(tail.event(&topic(), Offset(5)), Step::PassOver);
        assert_eq!(tail.event(&topic(), Offset(6)), Step::Show);
        assert_eq!(tail.event(&topic(), Offset(6)), Step::PassOver);
        let Step::Hole(hole) = tail.event(&topic(), Offset(8)) else { panic!("7 did not come") };
        assert_eq!(hole.to_string(), "event 8 came where 7 was next");
        assert_eq!(at(&tail), 6, "it asks again after the last one shown");
        assert_eq!(tail.event(&"health:q".parse().expect("valid"), Offset(7)), Step::PassOver);
    }

    #[test]
    fn after_a_gap_it_goes_on_where_the_server_does() {
        let mut resumed = tail(Some(5));
        let gap =
            resumed.subscribed(&success(20, Some((GapReason::Retention, Some((6, 9)))))).expect("a gap");
        assert_eq!(gap.to_string(), "gap: events 6 to 9 are gone: the log no longer keeps them");
        assert_eq!(resumed.event(&topic(), Offset(10)), Step::Show);

        let mut restored = tail(Some(50));
        let gap = restored.subscribed(&success(3, Some((GapReason::NewEpoch, None)))).expect("a gap");
        assert!(gap.to_string().contains("counts anew"));
        assert_eq!(restored.event(&topic(), Offset(1)), Step::Show);
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
        assert_eq!(tail.event(&topic(), Offset(6)), Step::Show);
        assert!(!tail.is_behind(&heads(7)), "it moved");
        assert!(tail.is_behind(&heads(7)));
        tail.subscribed(&success(7, None));
        assert!(!tail.is_behind(&heads(7)), "a new subscription starts afresh");
    }
}
