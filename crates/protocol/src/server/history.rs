//! Measurements of the past.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Offset, UserId};
use crate::measurement::{MeasurementData, redacted};

/// A page of measurements, newest first.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthDataResponse {
    /// Whose they are.
    pub patient: UserId,
    /// The page.
    pub measurements: Vec<RecordedMeasurement>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A measurement of the history, with its place in the patient's topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedMeasurement {
    /// Its place in the patient's topic.
    pub offset: Offset,
    /// The measurement.
    #[serde(flatten)]
    pub data: MeasurementData,
}

// A cursor holds the time at which a measurement was taken.
redacted!(HealthDataResponse);
