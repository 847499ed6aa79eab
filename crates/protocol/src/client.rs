//! What clients send.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::ErrorCode;
use crate::ids::{CorrelationId, Offset, SessionId, UserId};
use crate::measurement::{MeasurementInput, redacted};
use crate::strict;
use crate::text::shortened;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;
use crate::waveform::WaveformInput;

mod subscription;

pub use subscription::{Acknowledge, Delivery, Ephemeral, Interest, Subscribe, SubscribeSince, Unsubscribe};

/// One message of a client: what it wants, and what it calls the request.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientMessage {
    /// Repeated in the reply.
    pub correlation_id: Option<CorrelationId>,
    /// What the client wants.
    pub command: Command,
}

/// What a client can ask for.
#[derive(Clone, PartialEq)]
pub enum Command {
    /// `authenticate`, or `authentication`
    Authenticate(Authenticate),
    /// `subscribe`
    Subscribe(Subscribe),
    /// `unsubscribe`
    Unsubscribe(Unsubscribe),
    /// `ping`
    Ping,
    /// `health_update`
    HealthUpdate(HealthUpdate),
    /// `get_health_data`
    GetHealthData(GetHealthData),
    /// `acknowledge`
    Acknowledge(Acknowledge),
    /// `health_waveform`
    HealthWaveform(HealthWaveform),
    /// `get_presence`
    GetPresence(GetPresence),
}

/// The name and nothing else: commands hold tokens and health data.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Command {
    /// The `type` on the wire of every command, in the order of the docs.
    pub const NAMES: &'static [&'static str] = &[
        "authenticate",
        "subscribe",
        "unsubscribe",
        "ping",
        "health_update",
        "get_health_data",
        "acknowledge",
        "health_waveform",
        "get_presence",
    ];

    /// Other words for a `type`, understood and never written: the alias, and what it stands for.
    pub const ALIASES: &'static [(&'static str, &'static str)] = &[("authentication", "authenticate")];

    /// Other words for a field, understood and never written: the command's `type`, the field, and its alias.
    pub const FIELD_ALIASES: &'static [(&'static str, &'static str, &'static str)] = &[
        ("subscribe", "topic", "subscription"),
        ("unsubscribe", "topic", "subscription"),
        ("get_health_data", "metric", "data_type"),
    ];

    /// The `type` on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Authenticate(_) => "authenticate",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Ping => "ping",
            Self::HealthUpdate(_) => "health_update",
            Self::GetHealthData(_) => "get_health_data",
            Self::Acknowledge(_) => "acknowledge",
            Self::HealthWaveform(_) => "health_waveform",
            Self::GetPresence(_) => "get_presence",
        }
    }
}

/// Says who the client is, and which session it comes back to.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Authenticate {
    /// A signed JWT, or an API token; at most 8 KiB.
    pub token: String,
    /// The `session_id` of the connection that was lost: its subscriptions go on, if it can still be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// With `session_id`: the last event the client has, by topic. A topic that is not named goes on after what was
    /// acknowledged last, or from where its subscription began.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "strict::map")]
    pub offsets: BTreeMap<String, Offset>,
}

impl Authenticate {
    /// Begins a new session.
    pub fn new(token: impl Into<String>) -> Self {
        Self { token: token.into(), session_id: None, offsets: BTreeMap::new() }
    }
}

/// Hands over measurements: exactly one of `data` and `batch`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{ "required": ["data"] }, { "required": ["batch"] }]))]
pub struct HealthUpdate {
    /// Whose they are; one's own, or the device's patient, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<UserId>,
    /// One measurement.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::optional_object")]
    pub data: Option<MeasurementInput>,
    /// 1 to 1000 measurements, stored all or none. The message must not exceed `max_message_bytes` all the same:
    /// 64 KiB hold about 500.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::optional_objects")]
    #[schemars(length(min = 1, max = 1000))]
    pub batch: Option<Vec<MeasurementInput>>,
}

/// Asks for a page of a patient's measurements, newest first.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GetHealthData {
    /// Whose; one's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<UserId>,
    /// Only this metric. `data_type` is understood too.
    #[serde(default, alias = "data_type", skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Only measurements taken at or after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only measurements taken before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// How many at most: 1 to 1000, 10 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Where the page before this one ended: its `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

redacted!(GetHealthData);

/// Sends a chunk of a waveform to whoever watches. It is not stored and not answered, unless it is refused.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthWaveform {
    /// Whose it is; one's own, or the device's patient, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<UserId>,
    /// The chunk.
    #[serde(deserialize_with = "strict::object")]
    pub data: WaveformInput,
}

/// Asks who is connected of those around a patient, and who of them hears the topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GetPresence {
    /// Which topic; one must be allowed to hear it.
    pub topic: TopicName,
}

/// Why a client's text is no [`ClientMessage`].
///
/// `Debug` shows its code and nothing that the client sent.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// `malformed_json`, `unknown_type` or `invalid_field`.
    pub code: ErrorCode,
    /// What is wrong, for people. It may repeat what the client sent: never log it.
    pub message: String,
    /// The path of the field that is wrong, such as `batch[2].value`.
    pub field: Option<String>,
    /// What the client calls the request, if that could be read.
    pub correlation_id: Option<CorrelationId>,
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParseError({})", self.code.as_str())
    }
}

/// What is read first: enough to know what the rest should look like.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    r#type: std::borrow::Cow<'a, str>,
    #[serde(default)]
    correlation_id: Option<CorrelationId>,
}

impl ClientMessage {
    /// Reads one text message.
    ///
    /// # Errors
    /// If it is no JSON object, its `type` is unknown, or a field is missing, of the wrong kind or past its limit.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // serde would take an array for the fields in their order.
        if !text.trim_start().starts_with('{') {
            return Err(malformed(text, None));
        }
        let Head { r#type, correlation_id } = match evident_type(text) {
            Some(name) => Head { r#type: name.into(), correlation_id: None },
            None => serde_json::from_str(text).map_err(|_| explain::<Head>(text, None))?,
        };
        let id = correlation_id.as_ref();
        let command = match r#type.as_ref() {
            "authenticate" | "authentication" => Command::Authenticate(fields(text, id)?),
            "subscribe" => Command::Subscribe(fields(text, id)?),
            "unsubscribe" => Command::Unsubscribe(fields(text, id)?),
            "ping" => Command::Ping,
            "health_update" => Command::HealthUpdate(fields(text, id)?),
            "get_health_data" => Command::GetHealthData(fields(text, id)?),
            "acknowledge" => Command::Acknowledge(fields(text, id)?),
            "health_waveform" => Command::HealthWaveform(fields(text, id)?),
            "get_presence" => Command::GetPresence(fields(text, id)?),
            other => return Err(unknown_type(other, correlation_id)),
        };
        Ok(Self { correlation_id, command })
    }

    /// Writes the message as a client sends it.
    pub fn to_text(&self) -> String {
        #[derive(Serialize)]
        struct Flat<'a, T: Serialize> {
            r#type: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            correlation_id: Option<&'a CorrelationId>,
            #[serde(flatten)]
            fields: T,
        }
        fn write(name: &str, id: Option<&CorrelationId>, fields: impl Serialize) -> String {
            // Only maps with non-text keys fail to serialize, and there are none here.
            serde_json::to_string(&Flat { r#type: name, correlation_id: id, fields }).unwrap_or_default()
        }
        let (name, id) = (self.command.name(), self.correlation_id.as_ref());
        match &self.command {
            Command::Authenticate(fields) => write(name, id, fields),
            Command::Subscribe(fields) => write(name, id, fields),
            Command::Unsubscribe(fields) => write(name, id, fields),
            Command::Ping => write(name, id, serde_json::Map::new()),
            Command::HealthUpdate(fields) => write(name, id, fields),
            Command::GetHealthData(fields) => write(name, id, fields),
            Command::Acknowledge(fields) => write(name, id, fields),
            Command::HealthWaveform(fields) => write(name, id, fields),
            Command::GetPresence(fields) => write(name, id, fields),
        }
    }
}

/// The `type` of a message that has it first, has nothing else that could be the head's, and has fields besides, so
/// that the rest is read anyway: then one reading is enough.
fn evident_type(text: &str) -> Option<&str> {
    static TYPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""type""#));
    static CORRELATION_ID: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""correlation_id""#));
    let start = text.strip_prefix(r#"{"type":""#)?.as_bytes();
    let (name, rest) = start.split_at_checked(memchr::memchr(b'"', start)?)?;
    let name = Command::NAMES.iter().find(|known| known.as_bytes() == name && **known != "ping")?;
    let has = |what: &Finder<'_>| what.find(rest).is_some();
    let evident = memchr::memchr(b'\\', rest).is_none() && !has(&TYPE) && !has(&CORRELATION_ID);
    evident.then_some(name)
}

/// The JSON Schema of every command's fields, by its `type`, in the order of [`Command::NAMES`].
pub(crate) fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("authenticate", Authenticate::json_schema(generator)),
        ("subscribe", Subscribe::json_schema(generator)),
        ("unsubscribe", Unsubscribe::json_schema(generator)),
        (
            "ping",
            schemars::json_schema!({ "type": "object", "description": "Asks whether the server is there, and what time it has." }),
        ),
        ("health_update", HealthUpdate::json_schema(generator)),
        ("get_health_data", GetHealthData::json_schema(generator)),
        ("acknowledge", Acknowledge::json_schema(generator)),
        ("health_waveform", HealthWaveform::json_schema(generator)),
        ("get_presence", GetPresence::json_schema(generator)),
    ]
}

fn fields<'a, T: Deserialize<'a>>(text: &'a str, id: Option<&CorrelationId>) -> Result<T, ParseError> {
    serde_json::from_str(text).map_err(|_| explain::<T>(text, id.cloned()))
}

/// Reads again, slower, to learn which field was wrong: the fast path keeps no paths.
fn explain<'a, T: Deserialize<'a>>(text: &'a str, correlation_id: Option<CorrelationId>) -> ParseError {
    let mut reader = serde_json::Deserializer::from_str(text);
    let refused = serde_path_to_error::deserialize::<_, T>(&mut reader).err();
    let Some(refused) = refused else { return malformed(text, correlation_id) };
    if !refused.inner().is_data() {
        let message = format!("not valid JSON: {}", refused.inner());
        return ParseError { code: ErrorCode::MalformedJson, message, field: None, correlation_id };
    }
    let problem = refused.inner().to_string();
    // serde ends its sentence with a place in the text, which the field's name tells better.
    let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(sentence, _)| sentence);
    let path = refused.path().to_string();
    let named = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| problem.strip_prefix(start)?.split('`').next());
    let field = match (path.as_str(), named) {
        (".", Some(name)) => Some(name.to_owned()),
        (".", None) => None,
        (path, Some(name)) if !path.ends_with(name) => Some(format!("{path}.{name}")),
        (path, _) => Some(path.to_owned()),
    };
    let (problem, field) = (shortened(problem), field.as_deref().map(shortened));
    if field.is_none() {
        let message = format!("not a JSON object with a `type`: {problem}");
        return ParseError { code: ErrorCode::MalformedJson, message, field, correlation_id };
    }
    ParseError { code: ErrorCode::InvalidField, message: problem, field, correlation_id }
}

/// The text is no JSON, or no object.
fn malformed(text: &str, correlation_id: Option<CorrelationId>) -> ParseError {
    let message = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) => format!("not valid JSON: {error}"),
        Ok(_) => "not a JSON object".to_owned(),
    };
    ParseError { code: ErrorCode::MalformedJson, message, field: None, correlation_id }
}

fn unknown_type(name: &str, correlation_id: Option<CorrelationId>) -> ParseError {
    let shown: String = name.chars().take(64).collect();
    ParseError {
        code: ErrorCode::UnknownType,
        message: format!("no message has the type {shown:?}; known: {}", Command::NAMES.join(", ")),
        field: Some("type".to_owned()),
        correlation_id,
    }
}

#[cfg(test)]
mod tests;
