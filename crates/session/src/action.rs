//! What the server must do.

use healthmate_care::{Decision, Measurement, Metric};
use healthmate_protocol::{
    CloseCode, Envelope, Ephemeral, Interest, Offset, SessionId, SubscribeSince, Timestamp, Topic, UserId,
};

use crate::lost::Lost;

/// Names a request that waits for the server, within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u32);

/// Something to do. Requests are answered by one [`Input`](crate::Input) with the same id, in any order.
pub enum Action {
    /// Send this message.
    Send(Box<Envelope>),
    /// Check the token and load its user; and take out the lost session of this name, if it is that user's.
    Authenticate {
        /// Names the answer.
        request: RequestId,
        /// The token.
        token: String,
        /// The session that the client comes back to.
        session_id: Option<SessionId>,
    },
    /// Check that the user may hear the topic, and say how far its log reaches. Where the client wants what it missed, it
    /// says that it has the event at the offset: a log that seems to end before must be looked at again.
    OpenTopic(RequestId, Topic, Option<Offset>),
    /// Deliver the topic's events.
    StartDelivery {
        /// What to deliver.
        topic: Topic,
        /// How, and what beside its durable events.
        interest: Interest,
        /// The first event delivered is the one after this.
        after: Offset,
        /// The newest event there is, as far as is known.
        head: Offset,
    },
    /// Deliver the topic no longer.
    StopDelivery(Topic),
    /// Deliver the topic no longer: the user may not hear it any more.
    RevokeDelivery(Topic),
    /// Store measurements, all or none.
    Record {
        /// Names the answer.
        request: RequestId,
        /// Whose they are.
        patient: UserId,
        /// Who sent them.
        author: UserId,
        /// What to store.
        measurements: Vec<Measurement>,
    },
    /// The user was refused this with the patient's data: it is recorded. Nobody answers.
    Denied {
        /// What the user wanted.
        action: healthmate_care::Action,
        /// Whose data.
        patient: UserId,
        /// Why not.
        decision: Decision,
    },
    /// Check that the user may read the patient, and load a page.
    LoadHistory(RequestId, HistoryQuery),
    /// Check that the user may hear the topic, and say who is there.
    LoadPresence(RequestId, Topic),
    /// Pass an ephemeral event on to whoever hears the topic and asked for its kind. Nobody answers.
    Broadcast {
        /// The event.
        event: Box<Envelope>,
        /// Its topic.
        topic: Topic,
        /// Its kind.
        kind: Ephemeral,
    },
    /// Say how far the topic was delivered, with [`Input::DeliveryReviewed`](crate::Input::DeliveryReviewed), at once.
    ReviewDelivery(Topic),
    /// Deliver the topic's events again from the one after this on.
    Redeliver {
        /// What to deliver.
        topic: Topic,
        /// The first event delivered is the one after this.
        after: Offset,
    },
    /// Events stayed unacknowledged however often they were sent: their delivery over this connection ended.
    DeliveryFailed {
        /// Which events: those of this topic.
        topic: Topic,
        /// The first is the one after this.
        after: Offset,
        /// The last that was sent.
        to: Offset,
    },
    /// The connection is lost: keep the session, in case its client comes back.
    Keep(Box<Lost>),
    /// Send a WebSocket ping.
    SendPing,
    /// Send a heartbeat with the heads of the connection's topics.
    SendHeartbeat,
    /// Send what waits, then a close frame, and end the connection. Nothing follows.
    Close(CloseCode, &'static str),
}

/// Tokens and measurements stay out of logs: the name only.
impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(envelope) => write!(f, "Send({})", envelope.message.name()),
            Self::Authenticate { request, .. } => write!(f, "Authenticate({request:?})"),
            Self::OpenTopic(request, topic, _) => write!(f, "OpenTopic({request:?}, {topic})"),
            Self::StartDelivery { topic, after, .. } => write!(f, "StartDelivery({topic}, {after})"),
            Self::StopDelivery(topic) => write!(f, "StopDelivery({topic})"),
            Self::RevokeDelivery(topic) => write!(f, "RevokeDelivery({topic})"),
            Self::Record { request, .. } => write!(f, "Record({request:?})"),
            Self::Denied { action, patient, .. } => write!(f, "Denied({action:?}, {patient})"),
            Self::LoadHistory(request, _) => write!(f, "LoadHistory({request:?})"),
            Self::LoadPresence(request, topic) => write!(f, "LoadPresence({request:?}, {topic})"),
            Self::Broadcast { event, topic, .. } => write!(f, "Broadcast({topic}, {})", event.message.name()),
            Self::ReviewDelivery(topic) => write!(f, "ReviewDelivery({topic})"),
            Self::Redeliver { topic, after } => write!(f, "Redeliver({topic}, {after})"),
            Self::DeliveryFailed { topic, after, to } => write!(f, "DeliveryFailed({topic}, {after}, {to})"),
            Self::Keep(lost) => write!(f, "Keep({})", lost.session_id),
            Self::SendPing => f.write_str("SendPing"),
            Self::SendHeartbeat => f.write_str("SendHeartbeat"),
            Self::Close(code, _) => write!(f, "Close({})", code.as_u16()),
        }
    }
}

/// Which page of whose measurements.
#[derive(Clone, PartialEq)]
pub struct HistoryQuery {
    /// Whose.
    pub patient: UserId,
    /// Only this metric.
    pub metric: Option<Metric>,
    /// Only those taken at or after this.
    pub from: Option<Timestamp>,
    /// Only those taken before this.
    pub to: Option<Timestamp>,
    /// How many at most, 1 to 1000.
    pub limit: u32,
    /// Where the page before ended, as the client sent it.
    pub cursor: Option<String>,
}

/// A cursor holds the time at which a measurement was taken.
impl std::fmt::Debug for HistoryQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HistoryQuery({}, {})", self.patient, self.limit)
    }
}

/// A resume position, under a shorter name.
pub(crate) type Since = SubscribeSince;
