//! What a connection looks like to those who run the node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use healthmate_protocol::{ConnectionId, Offset, SessionId, Timestamp, Topic, UserId};
use healthmate_session::{History, Lost, LostTopic, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Node, Reach, Unanswered};
use crate::connection::Connection;
use crate::shard::Shard;

/// Where a connection stands, as the wire names it. What is still `connecting` has no id yet, and is only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateWord {
    /// The socket is open, and no token was accepted yet.
    Connected,
    /// The user is known.
    Authenticated,
    /// The transport failed: the session is kept for a while, and its client may come back to it.
    Error,
    /// It is closing.
    Disconnected,
}

impl StateWord {
    /// Every state, by the word of the wire.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("connected", Self::Connected),
        ("authenticated", Self::Authenticated),
        ("error", Self::Error),
        ("disconnected", Self::Disconnected),
    ];
}

impl From<State> for StateWord {
    fn from(state: State) -> Self {
        match state {
            State::Connected => Self::Connected,
            State::Authenticated => Self::Authenticated,
            State::Error => Self::Error,
            State::Disconnected => Self::Disconnected,
        }
    }
}

/// A connection, in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ConnectionSummary {
    /// The connection.
    pub(crate) connection_id: ConnectionId,
    /// Whose it is; absent before a token was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<UserId>,
    /// Where it stands.
    pub(crate) state: StateWord,
    /// When it was opened.
    pub(crate) connected_at: Timestamp,
    /// When anything came from the client last, be it a pong; absent before a token was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_activity: Option<Timestamp>,
    /// What waits to be written to it, in bytes.
    pub(crate) queued_bytes: u64,
    /// How many topics it hears.
    pub(crate) subscription_count: u64,
}

/// A connection in full.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ConnectionHealth {
    #[serde(flatten)]
    pub(crate) summary: ConnectionSummary,
    /// What outlives the connection; absent before a token was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<SessionId>,
    /// Where the client is; behind trusted proxies, what they say of it. Absent once the connection is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_address: Option<IpAddr>,
    /// How often unacknowledged events were sent again.
    pub(crate) retry_count: u32,
    /// How often the server tried to recover the session since its connection was lost.
    pub(crate) recovery_attempts: u32,
    /// What went wrong last, over all connections of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<LastError>,
    /// For how many seconds more the client may come back; only in `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resumable_s: Option<u64>,
    /// What it hears.
    pub(crate) subscriptions: Vec<SubscriptionHealth>,
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct LastError {
    /// `transport_failed`, `unresponsive`, `asked_to_reconnect`, `taken_over`, `not_acknowledged`, or the code of the
    /// last refused request.
    code: &'static str,
    /// When.
    at: Timestamp,
}

impl LastError {
    /// What went wrong last in this history.
    pub(crate) fn of(history: &History) -> Option<Self> {
        history.last_error.map(|(at, fault)| Self { code: fault.as_str(), at })
    }
}

impl ConnectionHealth {
    /// A session whose connection is lost, for `left` longer.
    pub(super) fn of_lost(summary: ConnectionSummary, lost: &Lost, left: Duration) -> Self {
        let subscription = |held: &LostTopic| SubscriptionHealth {
            topic: held.topic.clone(),
            position: held.since.offset,
            head: held.since.offset,
            delivery: Delivery::Waiting,
        };
        Self {
            summary,
            session_id: Some(lost.session_id.clone()),
            client_address: None,
            retry_count: lost.history.retry_count,
            recovery_attempts: lost.history.recovery_attempts,
            last_error: LastError::of(&lost.history),
            resumable_s: Some(left.as_secs()),
            subscriptions: lost.topics.iter().map(subscription).collect(),
        }
    }
}

/// Where one subscription stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct SubscriptionHealth {
    /// What is heard.
    topic: Topic,
    /// The offset of the event that was queued for it last.
    position: Offset,
    /// The newest offset that the server knows of the topic.
    head: Offset,
    /// How it gets its events.
    delivery: Delivery,
}

/// How a subscription gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// As they come.
    Live,
    /// From the log, at the reader's pace: it catches up.
    Reading,
    /// Not now: the connection is lost. `position` is what the client surely has.
    Waiting,
}

/// Which connections to list.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionQuery {
    /// Whose, at most.
    pub(crate) reach: Reach,
    /// Only this user's.
    pub(crate) user: Option<UserId>,
    /// Only those in this state.
    pub(crate) state: Option<StateWord>,
    /// Only those opened after this one.
    pub(crate) after: Option<ConnectionId>,
    /// How many at most.
    pub(crate) limit: usize,
}

/// Some connections, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionPage {
    /// The connections, the oldest first.
    pub(crate) connections: Vec<ConnectionSummary>,
    /// The `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<ConnectionId>,
}

impl ConnectionQuery {
    fn selects(&self, connection: &Connection) -> bool {
        let user = connection.user();
        let state = StateWord::from(connection.state());
        // One that was lost a moment ago is listed with the other lost ones.
        state != StateWord::Error && self.matches(connection.id(), user.as_ref(), state)
    }

    fn matches(&self, id: &ConnectionId, user: Option<&UserId>, state: StateWord) -> bool {
        self.after.as_ref().is_none_or(|after| id > after)
            && self.reach.covers(user)
            && self.user.as_ref().is_none_or(|wanted| user == Some(wanted))
            && self.state.is_none_or(|wanted| state == wanted)
    }

    /// The shard's part: one more than asked for tells whether a page follows.
    fn on(&self, shard: &Rc<Shard>) -> Vec<ConnectionSummary> {
        let mut selected = shard.all();
        selected.retain(|connection| self.selects(connection));
        selected.sort_unstable_by(|one, other| one.id().cmp(other.id()));
        selected.truncate(self.limit + 1);
        selected.iter().map(|connection| connection.summary(shard)).collect()
    }

    fn page(&self, parts: Vec<Vec<ConnectionSummary>>) -> ConnectionPage {
        let mut connections: Vec<_> = parts.into_iter().flatten().collect();
        // Ids begin with the time they were made at.
        connections.sort_unstable_by(|one, other| one.connection_id.cmp(&other.connection_id));
        let more = connections.len() > self.limit;
        connections.truncate(self.limit);
        let last = connections.last().filter(|_| more);
        ConnectionPage { next_cursor: last.map(|last| last.connection_id.clone()), connections }
    }
}

impl Node {
    /// A page of connections.
    pub(crate) async fn connections(&self, query: ConnectionQuery) -> Result<ConnectionPage, Unanswered> {
        let asked = query.clone();
        let mut parts = self.ask(move |shard| asked.on(shard)).await?;
        parts.push(self.lost.list(|id, user| query.matches(id, Some(user), StateWord::Error)));
        Ok(query.page(parts))
    }

    /// One connection, if there is one of that id within `reach`.
    pub(crate) async fn health(
        &self,
        id: ConnectionId,
        reach: Reach,
    ) -> Result<Option<ConnectionHealth>, Unanswered> {
        if let Some(lost) = self.lost.health(&id, &reach) {
            return Ok(Some(lost));
        }
        let look = move |shard: &Rc<Shard>| {
            shard.connection_called(&id, &reach).map(|connection| connection.health(shard))
        };
        Ok(self.ask(look).await?.into_iter().flatten().next())
    }

    /// How many subscriptions there are, by kind of topic.
    pub(crate) async fn subscriptions(&self) -> Result<BTreeMap<&'static str, u64>, Unanswered> {
        let mut by_kind = BTreeMap::new();
        for (kind, count) in self.ask(|shard| shard.subscriptions_by_kind()).await?.into_iter().flatten() {
            *by_kind.entry(kind.as_str()).or_default() += count;
        }
        Ok(by_kind)
    }
}

impl From<healthmate_hub::Subscription> for SubscriptionHealth {
    fn from(subscription: healthmate_hub::Subscription) -> Self {
        let healthmate_hub::Subscription { topic, position, head, live } = subscription;
        let delivery = if live { Delivery::Live } else { Delivery::Reading };
        Self { topic, position, head, delivery }
    }
}
