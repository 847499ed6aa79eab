//! Measurements, as they travel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{ClientId, UserId};
use crate::timestamp::Timestamp;

/// A measurement as a device sends it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasurementInput {
    /// What was measured, such as `heart_rate`.
    pub metric: String,
    /// The number, in `unit`.
    pub value: f64,
    /// The unit in UCUM (`/min`, `mg/dL`, `Cel`) or a common spelling (`bpm`, `mmHg`, `°C`).
    pub unit: String,
    /// When it was measured.
    pub taken_at: Timestamp,
    /// The device's own name for this measurement: sent again, it is stored once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// What measured it, in words, up to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// A measurement as the server stored it: the `data` of a `health_update` event.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasurementData {
    /// Whose it is.
    pub patient: UserId,
    /// What was measured.
    pub metric: String,
    /// The number, in the metric's canonical unit.
    pub value: f64,
    /// The metric's canonical unit, in UCUM.
    pub unit: String,
    /// When it was measured, as the device says.
    pub taken_at: Timestamp,
    /// When the server stored it.
    pub recorded_at: Timestamp,
    /// Who sent it.
    pub author: UserId,
    /// The device's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// What measured it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What the device sent, where it was converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalQuantity>,
    /// What a reader should know about it: `converted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// A value and unit before conversion.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OriginalQuantity {
    /// The number as sent.
    pub value: f64,
    /// The unit as sent.
    pub unit: String,
}

/// Health data stays out of logs and panics: `Debug` says that there is something, not what.
macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    )*};
}
pub(crate) use redacted;

redacted!(MeasurementInput, MeasurementData, OriginalQuantity);
