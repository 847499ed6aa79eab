//! Notifications, as they travel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{NotificationId, UserId};
use crate::measurement::redacted;
use crate::timestamp::Timestamp;

/// Something that one user is told: the `data` of a `notification` event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationData {
    /// Names it, as in `POST /v1/notifications/{id}/seen`.
    pub id: NotificationId,
    /// What it is about.
    pub kind: NotificationKind,
    /// How much it matters.
    pub priority: Priority,
    /// What happened, in a few words.
    pub title: String,
    /// What happened, in sentences.
    pub body: String,
    /// Whom it is about, where it is about a patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<UserId>,
    /// When it was written.
    pub created_at: Timestamp,
    /// From when on it matters no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

redacted!(NotificationData);

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What the word on the wire says.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// What a notification is about.
    NotificationKind {
        /// A patient was opened in an emergency: break-glass.
        BreakGlass "break_glass",
    }
}

words! {
    /// How much a notification matters, from least to most.
    Priority {
        /// It can be read at any time.
        Low "low",
        /// It should be read today.
        Normal "normal",
        /// It should be read soon.
        High "high",
        /// It should be read now.
        Urgent "urgent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_goes_over_the_wire() {
        for priority in Priority::ALL {
            assert_eq!(serde_json::to_value(priority).expect("written"), priority.as_str());
            assert_eq!(Priority::from_word(priority.as_str()), Some(*priority));
        }
        for kind in NotificationKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("written"), kind.as_str());
            assert_eq!(NotificationKind::from_word(kind.as_str()), Some(*kind));
        }
        assert_eq!(Priority::from_word("Urgent"), None);
    }
}
