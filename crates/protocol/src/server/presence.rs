//! Who is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::timestamp::Timestamp;
use crate::topic::Topic;

/// Someone began or ceased to watch a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceUpdate {
    /// Who.
    pub user_id: UserId,
    /// What happened.
    pub presence: Presence,
}

/// What happened to someone's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The user watches the topic now.
    Joined,
    /// The user has not watched it for longer than a reconnect takes.
    Left,
}

/// Who is there of those around a patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceResponse {
    /// The topic in full.
    pub topic: Topic,
    /// The patient, the patient's devices and the care team, as far as they are connected; by user.
    pub present: Vec<Present>,
}

/// Someone who is connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Present {
    /// Who.
    pub user_id: UserId,
    /// The user's role: patient, caregiver, nurse, doctor, admin or device.
    pub role: String,
    /// Since when the user is connected.
    pub since: Timestamp,
    /// Whether the user hears the topic.
    pub watching: bool,
}
