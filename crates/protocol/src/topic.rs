//! What can be subscribed to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::UserId;
use crate::text::Text;

/// The kinds of topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKind {
    /// `health:{patient}`: a patient's measurements.
    Health,
    /// `chat:{conversation}`.
    Chat,
    /// `notifications:{user}`.
    Notifications,
    /// `ward:{team}`.
    Ward,
}

impl TopicKind {
    /// The word before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Chat => "chat",
            Self::Notifications => "notifications",
            Self::Ward => "ward",
        }
    }
}

/// Something that carries events, such as `health:patient-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    kind: TopicKind,
    id: UserId,
}

impl Topic {
    /// The topic of `patient`'s measurements.
    pub fn health(patient: UserId) -> Self {
        Self { kind: TopicKind::Health, id: patient }
    }

    /// The topic of `kind` that is named after `id`.
    pub fn new(kind: TopicKind, id: UserId) -> Self {
        Self { kind, id }
    }

    /// What kind of topic this is.
    pub fn kind(&self) -> TopicKind {
        self.kind
    }

    /// What comes after the colon: the patient of a health topic.
    pub fn id(&self) -> &UserId {
        &self.id
    }
}

/// Why a text is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// No `kind:id` and no short name.
    #[error(
        "not a topic: write kind:id with kind one of health, chat, notifications, ward, \
         or one of the short names health_updates, chat, notifications"
    )]
    Malformed,
    /// The id is not valid.
    #[error(transparent)]
    Id(#[from] crate::ids::IdError),
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let (kind, id) = text.split_once(':').ok_or(TopicError::Malformed)?;
        let kind = match kind {
            "health" => TopicKind::Health,
            "chat" => TopicKind::Chat,
            "notifications" => TopicKind::Notifications,
            "ward" => TopicKind::Ward,
            _ => return Err(TopicError::Malformed),
        };
        Ok(Self { kind, id: UserId::new(id)? })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// How a client names a topic: in full, or by a short name that means "my own".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// `health:patient-1`
    Full(Topic),
    /// `health_updates`, `chat` or `notifications`
    Own(TopicKind),
}

impl FromStr for TopicName {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        match text {
            "health_updates" => Ok(Self::Own(TopicKind::Health)),
            "chat" => Ok(Self::Own(TopicKind::Chat)),
            "notifications" => Ok(Self::Own(TopicKind::Notifications)),
            full => full.parse().map(Self::Full),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(topic) => topic.fmt(f),
            Self::Own(TopicKind::Health) => f.write_str("health_updates"),
            Self::Own(kind) => f.write_str(kind.as_str()),
        }
    }
}

macro_rules! as_text {
    ($name:ident, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Text(text) = Text::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

as_text!(Topic, "kind:id, with kind one of health, chat, notifications, ward.");
as_text!(
    TopicName,
    "A topic in full (health:patient-1), or a short name for one's own: health_updates, chat, notifications."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_prints_as_it_was_parsed() {
        for text in ["health:p1", "chat:c1", "notifications:u1", "ward:w1"] {
            assert_eq!(text.parse::<Topic>().expect("valid").to_string(), text);
        }
        for text in ["health_updates", "chat", "notifications", "health:p1"] {
            assert_eq!(text.parse::<TopicName>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn refuses_every_odd_spelling() {
        for text in [
            "",
            ":",
            "health",
            "health:",
            "Health:p1",
            "health:p1:x",
            "health: p1",
            "health:p1\0",
            "vitals:p1",
        ] {
            assert!(text.parse::<TopicName>().is_err(), "{text:?} was taken");
        }
    }
}
