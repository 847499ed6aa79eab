//! Hearing a topic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Offset};
use crate::strict;
use crate::topic::{Topic, TopicName};

/// Asks for a topic's events, from now on or from where the client stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// What to hear. `subscription` is understood too.
    #[serde(alias = "subscription")]
    pub topic: TopicName,
    /// The last event the client has. Without it, delivery starts with the next event. Not with `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::optional_object")]
    pub since: Option<SubscribeSince>,
    /// `durable` if absent.
    #[serde(default, skip_serializing_if = "Delivery::is_durable", deserialize_with = "strict::word")]
    pub delivery: Delivery,
    /// Which ephemeral events of the topic to send too.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "strict::words")]
    pub include: Vec<Ephemeral>,
    /// Whether the client acknowledges every event: what it does not, is sent again. Not with `latest`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acknowledge: bool,
}

impl Subscribe {
    /// Durable delivery from now on, of durable events alone.
    pub fn new(topic: TopicName) -> Self {
        Self { topic, since: None, delivery: Delivery::Durable, include: Vec::new(), acknowledge: false }
    }
}

/// How a topic's events are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Every event, in order. A slow reader reads on from the log at its own pace.
    #[default]
    Durable,
    /// The newest value of each metric, then live ones. A slow reader keeps the newest and is told how many it was
    /// spared.
    Latest,
}

impl Delivery {
    /// Whether it is the default.
    pub fn is_durable(&self) -> bool {
        *self == Self::Durable
    }
}

/// Kinds of event that are not stored: sent to those who ask for them, dropped where a reader does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ephemeral {
    /// `health_waveform`
    Waveform,
    /// `presence_update`
    Presence,
}

/// What a subscription is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// How durable events come.
    pub delivery: Delivery,
    /// Whether waveforms come too.
    pub waveform: bool,
    /// Whether changes of presence come too.
    pub presence: bool,
}

impl Interest {
    /// Whether events of this kind are sent.
    pub fn includes(self, kind: Ephemeral) -> bool {
        match kind {
            Ephemeral::Waveform => self.waveform,
            Ephemeral::Presence => self.presence,
        }
    }
}

impl Subscribe {
    /// What the subscription is to be sent.
    pub fn interest(&self) -> Interest {
        let includes = |kind| self.include.contains(&kind);
        let (waveform, presence) = (includes(Ephemeral::Waveform), includes(Ephemeral::Presence));
        Interest { delivery: self.delivery, waveform, presence }
    }
}

/// The last event a client has of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscribeSince {
    /// The epoch its offset belongs to.
    pub epoch: Epoch,
    /// Its offset; 0 for "none yet".
    pub offset: Offset,
}

/// Ends a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribe {
    /// What to hear no longer. `subscription` is understood too.
    #[serde(alias = "subscription")]
    pub topic: TopicName,
}

/// Says that the client has dealt with all events up to this one. Not answered, unless it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledge {
    /// The topic in full.
    pub topic: Topic,
    /// The last event that is dealt with.
    pub offset: Offset,
}
