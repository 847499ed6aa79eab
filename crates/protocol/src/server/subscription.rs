//! What a client is told about its subscriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::Delivery;
use crate::code::ErrorCode;
use crate::ids::{Epoch, Offset};
use crate::topic::Topic;

/// What a subscription starts with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionSuccess {
    /// The topic in full.
    pub topic: Topic,
    /// The incarnation of the store.
    pub epoch: Epoch,
    /// The newest offset when the subscription began; 0 if there is none yet.
    pub head: Offset,
    /// How its events are delivered; `durable` if absent.
    #[serde(default, skip_serializing_if = "Delivery::is_durable")]
    pub delivery: Delivery,
    /// Whether all that was missed since `since` follows. Only where `since` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// The first offset that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Offset>,
    /// The last offset that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Offset>,
    /// Why they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<GapReason>,
}

/// Whether a resumed subscription is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resumed {
    /// All that was missed follows.
    Complete,
    /// Some of it is gone: see `from`, `to` and `reason`.
    Gap,
}

/// Why events are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The log no longer keeps them. Delivery goes on at the oldest event kept; fetch the rest as history.
    Retention,
    /// The client's offset belongs to another incarnation of the store. Forget what you hold of this topic.
    NewEpoch,
    /// The client's offset lies beyond the log. Forget what you hold of this topic.
    AheadOfLog,
}

/// How many events of a `latest` subscription were replaced by newer ones since the last such message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsMerged {
    /// The topic in full.
    pub topic: Topic,
    /// How many.
    pub merged: u64,
}

/// Why there is no subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionDenied {
    /// The topic as the client named it.
    pub topic: String,
    /// `access_denied`, `topic_not_served`, `too_many_topics` or `not_acknowledged`; with `retry`, a code of storage.
    pub code: ErrorCode,
    /// Why access is denied, as a stable word such as `not_in_care_team` or `ended`; access.md lists them. Only with
    /// `access_denied`, and there where the policy said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is wrong, for people.
    pub message: String,
    /// Whether the same request can succeed later.
    pub retry: bool,
}

/// The topic that is heard no longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnsubscriptionSuccess {
    /// The topic in full.
    pub topic: Topic,
}
