//! Names of users, connections, sessions, and places in a topic's log.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::Text;

/// Why a text is no valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {min} to {max} characters of {alphabet}")]
pub struct IdError {
    what: &'static str,
    min: usize,
    max: usize,
    alphabet: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $alphabet:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest this id may be, in characters.
            pub const MAX_LEN: usize = $max;

            /// Checks `text` and makes it an id.
            ///
            /// # Errors
            /// If it is empty, too long, or holds a character outside the alphabet.
            pub fn new(text: &str) -> Result<Self, IdError> {
                let allowed: fn(&str) -> bool = $allowed;
                if text.is_empty() || text.len() > Self::MAX_LEN || !allowed(text) {
                    return Err(IdError { what: $what, min: 1, max: Self::MAX_LEN, alphabet: $alphabet });
                }
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Text(text) = Text::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": $max, "description": $alphabet })
            }
        }
    };
}

/// `.` and `..` are steps in a URL's path: clients take them out, and whoever had such a name could not be asked for.
fn is_name(text: &str) -> bool {
    let in_names = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    text.bytes().all(in_names) && !matches!(text, "." | "..")
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_uuid(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

text_id!(
    /// Someone or something with a token: the `sub` of its JWT, the `{patient}` of `health:{patient}`.
    UserId, "a user id", 64, "letters, digits, '-', '_', '.' and '@', other than '.' and '..'", is_name
);
text_id!(
    /// What a client calls a request, so that it knows the reply.
    CorrelationId, "a correlation_id", 128, "printable ASCII", is_printable
);
text_id!(
    /// What a device calls a measurement. Sent again, it is recognised and stored once, for each author.
    ClientId, "a client_id", 128, "printable ASCII", is_printable
);
text_id!(
    /// The incarnation of the store: offsets of different epochs have nothing to do with each other.
    Epoch, "an epoch", 32, "letters, digits, '-' and '_'", is_word
);
text_id!(
    /// One socket, from its handshake to its close. A UUIDv7.
    ConnectionId, "a connection id", 36, "a UUID", is_uuid
);
text_id!(
    /// What outlives a connection for the resume window. A UUIDv7.
    SessionId, "a session id", 36, "a UUID", is_uuid
);
text_id!(
    /// One notification. A UUIDv7.
    NotificationId, "a notification id", 36, "a UUID", is_uuid
);

/// A durable event's place in its topic: 1, 2, 3, … without holes. 0 is the place before the first event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The place before the first event.
    pub const START: Self = Self(0);

    /// The place of the next event.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_at_its_limit_is_taken_and_one_past_it_is_not() {
        assert!(UserId::new(&"a".repeat(64)).is_ok());
        let error = UserId::new(&"a".repeat(65)).expect_err("too long");
        assert_eq!(
            error.to_string(),
            "a user id must be 1 to 64 characters of letters, digits, '-', '_', '.' and '@', other than '.' and '..'"
        );
        assert!(UserId::new("").is_err());
        assert!(UserId::new("a:b").is_err());
        assert!(UserId::new("Zoë").is_err());
        for (name, good) in [(".", false), ("..", false), ("...", true), (".a", true), ("a..", true)] {
            assert_eq!(UserId::new(name).is_ok(), good, "{name}");
        }
    }
}
