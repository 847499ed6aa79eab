//! The JSON that the log keeps of a measurement.

use std::sync::Arc;

use healthmate_care::Measurement;
use healthmate_protocol::{ClientId, NotificationData, OriginalQuantity, Timestamp, UserId};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::Error;

/// When something was stored, as number and as text: one recording writes the same text many times.
#[derive(Clone, Debug)]
pub struct RecordedAt {
    at: Timestamp,
    text: String,
}

impl RecordedAt {
    /// That point in time.
    pub fn new(at: Timestamp) -> Self {
        Self { at, text: at.to_string() }
    }

    /// That point in time.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// The fields of [`healthmate_protocol::MeasurementData`], borrowed: a store writes many of them in a row.
#[derive(Serialize)]
struct Payload<'a> {
    patient: &'a UserId,
    metric: &'a str,
    value: f64,
    unit: &'a str,
    taken_at: Timestamp,
    recorded_at: &'a str,
    author: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a OriginalQuantity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
}

/// The JSON of the event of a stored measurement: the same bytes as `measurement.to_data(…)` gives.
///
/// # Errors
/// If the measurement cannot be written as JSON.
pub fn event_payload(
    patient: &UserId,
    author: &UserId,
    measurement: &Measurement,
    recorded_at: &RecordedAt,
) -> Result<Arc<RawValue>, Error> {
    let payload = Payload {
        patient,
        metric: measurement.metric.as_str(),
        value: measurement.value,
        unit: measurement.metric.unit(),
        taken_at: measurement.taken_at,
        recorded_at: &recorded_at.text,
        author,
        client_id: measurement.client_id.as_ref(),
        device: measurement.device.as_deref(),
        original: measurement.original.as_ref(),
        flags: measurement.flags(),
    };
    let json = to_raw_value(&payload).map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(json.into())
}

/// The JSON of the event of a notification.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn notification_payload(data: &NotificationData) -> Result<Arc<RawValue>, Error> {
    let json = to_raw_value(data).map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use healthmate_care::Metric;

    use super::*;

    #[test]
    fn the_payload_is_the_json_of_the_wire_type() {
        let (patient, author) = (UserId::new("p").expect("valid"), UserId::new("d").expect("valid"));
        let recorded_at = RecordedAt::new("2026-11-23T07:00:01Z".parse().expect("valid"));
        let bare = Measurement {
            metric: Metric::Glucose,
            value: 99.5,
            taken_at: "2026-11-23T07:00:00.25Z".parse().expect("valid"),
            client_id: None,
            device: None,
            original: None,
        };
        let full = Measurement {
            client_id: Some(ClientId::new("a \"1\"").expect("valid")),
            device: Some("CGM «7»".to_owned()),
            original: Some(OriginalQuantity { value: 5.5, unit: "mmol/L".to_owned() }),
            ..bare
        };
        for measurement in [bare, full] {
            let expected = serde_json::to_string(&measurement.to_data(&patient, &author, recorded_at.at()));
            let payload = event_payload(&patient, &author, &measurement, &recorded_at).expect("written");
            assert_eq!(payload.get(), expected.expect("written"));
        }
    }
}
