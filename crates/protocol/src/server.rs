//! What the server sends.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::code::ErrorCode;
use crate::ids::{ClientId, ConnectionId, CorrelationId, Epoch, Offset, SessionId, UserId};
use crate::measurement::MeasurementData;
use crate::notification::NotificationData;
use crate::timestamp::Timestamp;
use crate::topic::Topic;
use crate::waveform::WaveformData;

mod history;
mod presence;
mod subscription;
mod text;

pub use history::{HealthDataResponse, RecordedMeasurement};
pub use presence::{Presence, PresenceResponse, PresenceUpdate, Present};
pub use subscription::{
    EventsMerged, GapReason, Resumed, SubscriptionDenied, SubscriptionSuccess, UnsubscriptionSuccess,
};

/// A server message with what surrounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// When the server wrote it; for an event, when it was stored.
    pub timestamp: Timestamp,
    /// What the client called the request that this answers.
    pub correlation_id: Option<CorrelationId>,
    /// For an event: the topic that carries it.
    pub topic: Option<Topic>,
    /// For a durable event: its place in the topic.
    pub offset: Option<Offset>,
    /// The message itself.
    pub message: ServerMessage,
}

/// What makes the server say something, which decides what surrounds the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nobody asked: neither `correlation_id` nor `topic` and `offset`.
    Announcement,
    /// It answers a request, and repeats its `correlation_id` if it had one.
    Reply,
    /// Something durable happened in a topic: `topic` and `offset` say where.
    Event,
    /// Something passing happened in a topic: there is a `topic` and no `offset`.
    Ephemeral,
}

/// The JSON of every server message, for reading. Its `type` was read before.
#[derive(Deserialize)]
struct Wire<D> {
    timestamp: Timestamp,
    #[serde(default)]
    correlation_id: Option<CorrelationId>,
    #[serde(default)]
    topic: Option<Topic>,
    #[serde(default)]
    offset: Option<Offset>,
    data: D,
}

/// Every server message, in the order of its fields, for writing (`server/text.rs`).
struct WireRef<'a, D: ?Sized> {
    r#type: &'a str,
    timestamp: Timestamp,
    correlation_id: Option<&'a CorrelationId>,
    topic: Option<&'a Topic>,
    offset: Option<Offset>,
    data: &'a D,
}

/// What the schema says of a server message.
pub(crate) struct MessageSchema {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) occasion: Occasion,
    pub(crate) data: schemars::Schema,
}

macro_rules! server_messages {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $occasion:ident;)*) => {
        /// What the server can say.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ServerMessage {
            $($(#[doc = $doc])* $variant($variant),)*
        }

        impl ServerMessage {
            /// The `type` on the wire of every message, in the order of the docs.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The `type` on the wire.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            fn write(&self, timestamp: Timestamp, correlation_id: Option<&CorrelationId>,
                     topic: Option<&Topic>, offset: Option<Offset>) -> String {
                match self {
                    $(Self::$variant(data) => WireRef {
                        r#type: $name, timestamp, correlation_id, topic, offset, data,
                    }.to_text(),)*
                }
            }
        }

        impl Envelope {
            /// Reads a server message, as a client does.
            ///
            /// # Errors
            /// If it is no JSON object of a known `type` with that type's fields.
            pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
                #[derive(Deserialize)]
                struct Head<'a> { #[serde(borrow)] r#type: std::borrow::Cow<'a, str> }
                let head: Head = serde_json::from_str(text)?;
                match head.r#type.as_ref() {
                    $($name => Self::read(text, ServerMessage::$variant),)*
                    other => Err(serde::de::Error::custom(format!("unknown message type {other:?}"))),
                }
            }
        }

        /// Every server message as the schema describes it, in the order of [`ServerMessage::NAMES`].
        pub(crate) fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<MessageSchema> {
            vec![$(MessageSchema {
                name: $name,
                summary: concat!($($doc),*).trim_ascii(),
                occasion: Occasion::$occasion,
                data: generator.subschema_for::<$variant>(),
            },)*]
        }
    };
}

server_messages! {
    /// The first message on every connection.
    ConnectionEstablished = "connection_established", Announcement;
    /// The token was good.
    AuthenticationSuccess = "authentication_success", Reply;
    /// The token was refused; the connection is closed next.
    AuthenticationFailed = "authentication_failed", Reply;
    /// The subscription stands; missed events follow, then live ones.
    SubscriptionSuccess = "subscription_success", Reply;
    /// The subscription was refused, or ended because access did.
    SubscriptionDenied = "subscription_denied", Reply;
    /// The subscription ended, as asked.
    UnsubscriptionSuccess = "unsubscription_success", Reply;
    /// The answer to `ping`.
    Pong = "pong", Reply;
    /// The server is alive, and this is how far the connection's topics have come.
    Heartbeat = "heartbeat", Announcement;
    /// The server is about to close the connection: come back after a moment, which is each client's own.
    Reconnect = "reconnect", Announcement;
    /// The connection's token ends soon: send `authenticate` with a fresh one of the same user.
    TokenExpiring = "token_expiring", Announcement;
    /// The measurements are on disk.
    Acknowledgment = "acknowledgment", Reply;
    /// A measurement: a durable event.
    HealthUpdate = "health_update", Event;
    /// A chunk of a waveform: an ephemeral event, for those who asked for it.
    HealthWaveform = "health_waveform", Ephemeral;
    /// Something that the user is told: a durable event.
    Notification = "notification", Event;
    /// A slow reader of newest values was spared some: what follows is the newest.
    EventsMerged = "events_merged", Announcement;
    /// Someone began or ceased to watch the topic: an ephemeral event, for those who asked for it.
    PresenceUpdate = "presence_update", Ephemeral;
    /// Who is connected of those around a patient.
    PresenceResponse = "presence_response", Reply;
    /// A page of measurements.
    HealthDataResponse = "health_data_response", Reply;
    /// A request was refused.
    Error = "error", Reply;
}

impl Envelope {
    /// A message that answers no request and belongs to no topic.
    pub fn new(timestamp: Timestamp, message: ServerMessage) -> Self {
        Self { timestamp, correlation_id: None, topic: None, offset: None, message }
    }

    /// An ephemeral event of `topic`.
    pub fn ephemeral(timestamp: Timestamp, topic: Topic, message: ServerMessage) -> Self {
        Self { topic: Some(topic), ..Self::new(timestamp, message) }
    }

    /// For a durable event: the topic that carries it, and its place there.
    pub fn position(&self) -> Option<(&Topic, Offset)> {
        self.topic.as_ref().zip(self.offset)
    }

    /// Writes the message as it goes over the wire.
    pub fn to_text(&self) -> String {
        let Self { timestamp, correlation_id, topic, offset, message } = self;
        let (correlation_id, topic) = (correlation_id.as_ref(), topic.as_ref());
        if let ServerMessage::HealthWaveform(data) = message {
            let r#type = message.name();
            let wire =
                WireRef { r#type, timestamp: *timestamp, correlation_id, topic, offset: *offset, data };
            return wire.waveform_text();
        }
        message.write(*timestamp, correlation_id, topic, *offset)
    }

    fn read<D: DeserializeOwned>(
        text: &str,
        make: fn(D) -> ServerMessage,
    ) -> Result<Self, serde_json::Error> {
        let wire: Wire<D> = serde_json::from_str(text)?;
        Ok(Self {
            timestamp: wire.timestamp,
            correlation_id: wire.correlation_id,
            topic: wire.topic,
            offset: wire.offset,
            message: make(wire.data),
        })
    }
}

/// Writes a durable event from its stored payload, the JSON of its `data`. Live and replayed events are the same
/// bytes, because both are written here.
pub fn event_text(
    kind: &str,
    recorded_at: Timestamp,
    topic: &Topic,
    offset: Offset,
    payload: &RawValue,
) -> String {
    WireRef {
        r#type: kind,
        timestamp: recorded_at,
        correlation_id: None,
        topic: Some(topic),
        offset: Some(offset),
        data: payload,
    }
    .to_text()
}

/// What a client should know from the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionEstablished {
    /// This connection's id.
    pub connection_id: ConnectionId,
    /// `healthmate.v1`
    pub protocol: String,
    /// How often a `heartbeat` comes, in seconds.
    pub heartbeat_interval_s: u32,
    /// How soon a token must come, in seconds.
    pub authenticate_within_s: u32,
    /// The largest message the server takes, in bytes.
    pub max_message_bytes: u32,
}

/// Who the client is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticationSuccess {
    /// The user.
    pub user_id: UserId,
    /// The user's role: patient, caregiver, nurse, doctor, admin or device.
    pub role: String,
    /// The patient whose measurements this user writes: a patient's own id, or a device's patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<UserId>,
    /// What outlives this connection: come back with it after a loss.
    pub session_id: SessionId,
    /// Whether the session that was asked for goes on. Its topics follow, each with its own `subscription_success`
    /// or `subscription_denied`. Only where a `session_id` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// The incarnation of the store, to which all offsets belong.
    pub epoch: Epoch,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// Why the token was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticationFailed {
    /// A `token_…` or `user_…` code.
    pub code: ErrorCode,
    /// What is wrong, for people.
    pub message: String,
    /// Whether the same token can be good later.
    pub retry: bool,
}

/// Nothing: the `timestamp` beside it is the server's time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {}

/// How far this connection's topics have come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// The incarnation of the store.
    pub epoch: Epoch,
    /// The newest offset of each topic with durable delivery: a client whose own is lower has lost an event.
    pub heads: BTreeMap<String, Offset>,
}

/// When to come back. The close code that follows says the same without the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconnect {
    /// How long to wait before connecting again, in milliseconds. Clients get different ones, so that they do not
    /// all come at once.
    pub after_ms: u32,
}

/// When the connection's token ends. Some time after that, the connection is closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenExpiring {
    /// When the token ends.
    pub expires_at: Timestamp,
    /// How long that is from now, in whole seconds.
    pub seconds: u32,
}

/// What became of measurements: they are on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgment {
    /// Whose they are.
    pub patient: UserId,
    /// One for each measurement, in the order they were sent.
    pub results: Vec<MeasurementReceipt>,
}

/// What became of one measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeasurementReceipt {
    /// Its place in the patient's topic.
    pub offset: Offset,
    /// The device's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// True if it was stored before, under the same `client_id`: this is the first answer again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// What was noted about it: `converted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// A measurement, live or replayed.
pub type HealthUpdate = MeasurementData;

/// Something that the user is told, live or replayed.
pub type Notification = NotificationData;

/// A chunk of a waveform.
pub type HealthWaveform = WaveformData;

/// Why a request was refused.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// The stable word for programs.
    pub code: ErrorCode,
    /// What is wrong, for people.
    pub message: String,
    /// The field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Whether the same request can succeed later.
    pub retry: bool,
}

/// The message and the field may repeat what the client sent.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Error({})", self.code.as_str())
    }
}
