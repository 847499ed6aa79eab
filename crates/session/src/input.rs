//! What can happen to a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use healthmate_care::access::Until;
use healthmate_care::{Reason, User};
use healthmate_protocol::server::{MeasurementReceipt, PresenceResponse, RecordedMeasurement};
use healthmate_protocol::{Epoch, ErrorCode, Offset, Timestamp, Topic};

use crate::action::RequestId;
use crate::history::Fault;
use crate::lost::Lost;

/// The time of an input: the time of day for what is written, and an instant for deadlines, which no change of
/// the clock can disturb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time of day.
    pub time: Timestamp,
    /// A point on the monotonic clock.
    pub instant: Instant,
}

/// Something that happened.
pub enum Input<'a> {
    /// The client sent a text message.
    Text(&'a str),
    /// The handshake carried a token.
    Token(String),
    /// The client sent a WebSocket ping.
    Ping,
    /// The client answered a WebSocket ping, or takes more again after it took nothing: it is alive, and has nothing
    /// to say.
    Pong,
    /// A deadline has passed.
    Tick,
    /// [`Action::Authenticate`](crate::Action::Authenticate) was performed.
    Identified(RequestId, Result<Identity, Refused>),
    /// [`Action::OpenTopic`](crate::Action::OpenTopic) was performed.
    TopicOpened(RequestId, Result<OpenedTopic, Refused>),
    /// [`Action::Record`](crate::Action::Record) was performed.
    Recorded(RequestId, Result<Vec<MeasurementReceipt>, Refused>),
    /// [`Action::LoadHistory`](crate::Action::LoadHistory) was performed.
    HistoryLoaded(RequestId, Result<Found, Refused>),
    /// [`Action::LoadPresence`](crate::Action::LoadPresence) was performed.
    PresenceLoaded(RequestId, Result<PresenceResponse, Refused>),
    /// [`Action::ReviewDelivery`](crate::Action::ReviewDelivery) was performed.
    DeliveryReviewed {
        /// What was reviewed.
        topic: Topic,
        /// The offset that was written to the socket last, as far as is known; `None` while events still wait.
        position: Option<Offset>,
        /// Anything from 0 to 1, by chance.
        chance: f64,
    },
    /// Whether the user may still hear this topic was decided again: until when, or why not.
    AccessDecided(Topic, Result<Option<Until>, Refused>),
    /// The user is another now than when last seen: of another role, or another name.
    UserChanged(Arc<User>),
    /// The user was refused: disabled, or gone.
    UserRefused(Refused),
    /// The connection is lost, but its client may come back to the session.
    Lost(Fault),
    /// The client closed, or the server does: nothing more can be sent, and nobody comes back.
    Disconnected,
}

/// Tokens and measurements stay out of logs: the name only.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Token(_) => "Token",
            Self::Ping => "Ping",
            Self::Pong => "Pong",
            Self::Tick => "Tick",
            Self::Identified(..) => "Identified",
            Self::TopicOpened(..) => "TopicOpened",
            Self::Recorded(..) => "Recorded",
            Self::HistoryLoaded(..) => "HistoryLoaded",
            Self::PresenceLoaded(..) => "PresenceLoaded",
            Self::DeliveryReviewed { .. } => "DeliveryReviewed",
            Self::AccessDecided(..) => "AccessDecided",
            Self::UserChanged(_) => "UserChanged",
            Self::UserRefused(_) => "UserRefused",
            Self::Lost(_) => "Lost",
            Self::Disconnected => "Disconnected",
        })
    }
}

/// Whose token it was.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user, who exists and is active.
    pub user: Arc<User>,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// The incarnation of the store.
    pub epoch: Epoch,
    /// The session that the client asked for, if it can go on.
    pub lost: Option<Box<Lost>>,
}

/// How far the log of a topic reaches that the user may hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedTopic {
    /// The incarnation of the store.
    pub epoch: Epoch,
    /// The oldest offset kept; `head + 1` if none is.
    pub oldest: Offset,
    /// The newest offset; 0 if there was none.
    pub head: Offset,
    /// When the user's access ends by itself, where that is known.
    pub until: Option<Until>,
}

/// A page of history.
pub struct Found {
    /// The page, newest first.
    pub measurements: Vec<RecordedMeasurement>,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}

/// A cursor holds the time at which a measurement was taken.
impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Found({})", self.measurements.len())
    }
}

/// Why the server did not do it. The message and the field may repeat what the client sent: `Debug` leaves them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    /// The stable word.
    pub code: ErrorCode,
    /// What is wrong, for people.
    pub message: String,
    /// The field that is wrong.
    pub field: Option<String>,
    /// Why the policy said no, where it did.
    pub reason: Option<Reason>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.code.as_str())
    }
}

impl Refused {
    /// A refusal that no single field is to blame for.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, reason: None }
    }

    /// A refusal because of `field`.
    pub fn field(code: ErrorCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: Some(field.into()), reason: None }
    }

    /// The policy said no, because of `reason`; `field` names whom it was asked about.
    pub fn access(reason: Reason, field: impl Into<String>) -> Self {
        let refused = Self::field(ErrorCode::AccessDenied, field, reason.message());
        Self { reason: Some(reason), ..refused }
    }
}
