//! Where a watcher is in a topic, and what an event means for it. Pure.

use std::collections::BTreeMap;
use std::fmt;

use healthmate_protocol::client::Subscribe;
use healthmate_protocol::server::{GapReason, Heartbeat, Resumed, SubscriptionSuccess};
use healthmate_protocol::{
    ClientMessage, Command, Delivery, Ephemeral, Epoch, Offset, SubscribeSince, Topic, TopicName,
};

use crate::client::Offsets;

/// What is watched of a topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// The last event that was shown before; `None` to begin now. Not with the newest values.
    pub(crate) since: Option<SubscribeSince>,
    /// All events, or the newest value of each metric.
    pub(crate) delivery: Delivery,
    /// Ephemeral events too.
    pub(crate) include: Vec<Ephemeral>,
}

/// A watcher's place in a topic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tail {
    name: TopicName,
    /// The topic in full, once the server has told.
    topic: Option<Topic>,
    /// The last event that was shown; `None` before the first subscription without a start.
    since: Option<SubscribeSince>,
    delivery: Delivery,
    include: Vec<Ephemeral>,
    /// Of newest values: the epoch, and the newest offset shown of each metric.
    newest: Option<(Epoch, BTreeMap<String, Offset>)>,
    /// Whether the session that outlives the connection has the subscription.
    in_session: bool,
    /// Whether the server has answered for the topic on this connection.
    answered: bool,
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
    /// Watches what is wanted of `name`.
    pub(crate) fn new(name: TopicName, wanted: Wanted) -> Self {
        let Wanted { since, delivery, include } = wanted;
        Self {
            name,
            topic: None,
            since,
            delivery,
            include,
            newest: None,
            in_session: false,
            answered: false,
            behind_at: None,
        }
    }

    /// The topic, in full once the server has told.
    pub(crate) fn name(&self) -> String {
        self.topic.as_ref().map_or_else(|| self.name.to_string(), Topic::to_string)
    }

    /// The last event that was shown; `None` of newest values.
    pub(crate) fn since(&self) -> Option<&SubscribeSince> {
        self.since.as_ref()
    }

    /// Whether it shows events of this kind.
    pub(crate) fn includes(&self, kind: Ephemeral) -> bool {
        self.include.contains(&kind)
    }

    /// What a session needs to know to go on.
    pub(crate) fn offsets(&self) -> Offsets {
        let place = self.topic.as_ref().zip(self.since.as_ref());
        place.map(|(topic, since)| (topic.to_string(), since.offset)).into_iter().collect()
    }

    /// Asks for what follows.
    pub(crate) fn subscribe(&self) -> ClientMessage {
        let subscribe = Subscribe {
            since: self.since.clone(),
            delivery: self.delivery,
            include: self.include.clone(),
            ..Subscribe::new(self.name.clone())
        };
        ClientMessage { correlation_id: None, command: Command::Subscribe(subscribe) }
    }

    /// A connection stands, and goes on with the session before if it is `resumed`. Returns the request to send;
    /// `None` where the session has the subscription, and the server answers without being asked.
    pub(crate) fn connected(&mut self, resumed: bool) -> Option<ClientMessage> {
        self.answered = false;
        self.in_session &= resumed;
        (!self.in_session).then(|| self.subscribe())
    }

    /// Whether the server has answered for the topic on this connection.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// The server refuses to go on for now.
    pub(crate) fn refused(&mut self) {
        self.in_session = false;
    }

    /// The server took the subscription; returns what is gone.
    pub(crate) fn subscribed(&mut self, success: &SubscriptionSuccess) -> Option<Gap> {
        self.topic = Some(success.topic.clone());
        self.behind_at = None;
        (self.in_session, self.answered) = (true, true);
        if !self.delivery.is_durable() {
            self.begin_newest(&success.epoch);
            return None;
        }
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

    /// Offsets of another epoch say nothing about those shown.
    fn begin_newest(&mut self, epoch: &Epoch) {
        if self.newest.as_ref().is_none_or(|(known, _)| known != epoch) {
            self.newest = Some((epoch.clone(), BTreeMap::new()));
        }
    }

    /// An event of `metric` came.
    pub(crate) fn event(&mut self, topic: &Topic, offset: Offset, metric: &str) -> Step {
        if let Some((_, newest)) = self.newest.as_mut().filter(|_| self.topic.as_ref() == Some(topic)) {
            let shown = newest.entry(metric.to_owned()).or_insert(Offset::START);
            let newer = offset > *shown;
            *shown = offset.max(*shown);
            return if newer { Step::Show } else { Step::PassOver };
        }
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
mod tests;
