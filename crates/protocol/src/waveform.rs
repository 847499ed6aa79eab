//! Waveforms, as they travel: chunks of samples that nobody stores.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::MAX_SAMPLES;
use crate::ids::UserId;
use crate::timestamp::Timestamp;

/// The one place on the wire where `null` is a value: `const`, because what `Option` adds to a schema is taken out.
fn samples(_: &mut SchemaGenerator) -> Schema {
    let sample = json_schema!({ "oneOf": [{ "type": "number" }, { "const": null }] });
    json_schema!({ "type": "array", "minItems": 1, "maxItems": MAX_SAMPLES, "items": sample })
}

/// A chunk of a waveform as a device sends it: equally spaced samples, as in FHIR's `SampledData`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaveformInput {
    /// What was recorded, such as `ecg_lead_ii`.
    pub waveform: String,
    /// The unit of the samples, in UCUM: `mV` for an ECG.
    pub unit: String,
    /// When the first sample was taken.
    pub started_at: Timestamp,
    /// How many samples a second: more than 0, at most 1000.
    pub sample_rate_hz: f64,
    /// 1 to 1000 samples; `null` where there is none, as when a lead is off.
    #[schemars(schema_with = "samples")]
    pub samples: Vec<Option<f64>>,
    /// The device's number for the chunk, one more each time, so that a watcher sees where one is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What recorded it, in words, up to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// A chunk of a waveform as watchers receive it: the `data` of a `health_waveform` event.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaveformData {
    /// Whose it is.
    pub patient: UserId,
    /// What was recorded, such as `ecg_lead_ii`.
    pub waveform: String,
    /// The unit of the samples, in UCUM.
    pub unit: String,
    /// When the first sample was taken, as the device says.
    pub started_at: Timestamp,
    /// How many samples a second.
    pub sample_rate_hz: f64,
    /// The samples; `null` where there is none.
    #[schemars(schema_with = "samples")]
    pub samples: Vec<Option<f64>>,
    /// Who sent it.
    pub author: UserId,
    /// The device's number for the chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What recorded it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

crate::measurement::redacted!(WaveformInput, WaveformData);
