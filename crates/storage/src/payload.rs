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

/// What stays of a notification about a patient who was erased: what it was about, and no word about the patient.
pub fn without_patient(data: NotificationData) -> NotificationData {
    NotificationData { body: "The patient was erased.".to_owned(), patient: None, ..data }
}

/// The same as [`without_patient`], of the JSON.
///
/// # Errors
/// If the text is not the JSON of a notification's data.
pub fn notification_without_patient(payload: &str) -> Result<Arc<RawValue>, Error> {
    let data = serde_json::from_str(payload).map_err(|error| Error::Unavailable(error.to_string()))?;
    notification_payload(&without_patient(data))
}

/// Where the device of a payload begins. No text in JSON has a quotation mark without a backslash before it, so this is
/// found at the field only.
const DEVICE: &str = ",\"device\":";

/// The payload without its device, as a store keeps it that seals what people wrote.
pub fn without_device(payload: &str) -> String {
    let Some((before, after)) = payload.split_once(DEVICE) else {
        return payload.to_owned();
    };
    let mut bytes = after.bytes().enumerate().skip(1);
    let mut end = after.len();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => {
                end = at + 1;
                break;
            }
            _ => {}
        }
    }
    [before, &after[end..]].concat()
}

/// The opposite of [`without_device`]: the same bytes as before.
///
/// # Errors
/// If the payload is no JSON.
pub fn with_device(payload: &str, device: &str) -> serde_json::Result<Box<RawValue>> {
    let next = [",\"original\":", ",\"flags\":"].iter().find_map(|field| payload.find(field));
    let (before, after) = payload.split_at(next.unwrap_or(payload.len().saturating_sub(1)));
    RawValue::from_string([before, DEVICE, &serde_json::to_string(device)?, after].concat())
}

#[cfg(test)]
mod tests {
    use healthmate_care::Metric;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_device_is_taken_out_and_put_back(
            device in "\\PC{0,40}|[\"\\\\,:{}a-z]{0,40}|.*",
            client_id in prop::option::of("[a-z\"\\\\,:]{1,20}"),
            original in prop::option::of("[a-z\"\\\\,:{}]{0,20}"),
        ) {
            let user = UserId::new("p").expect("valid");
            let measurement = Measurement {
                metric: Metric::Glucose,
                value: 99.5,
                taken_at: "2026-11-23T07:00:00.25Z".parse().expect("valid"),
                client_id: client_id.and_then(|text| ClientId::new(&text).ok()),
                device: Some(device.clone()),
                original: original.map(|unit| OriginalQuantity { value: 5.5, unit }),
            };
            let bare = Measurement { device: None, ..measurement.clone() };
            let recorded_at = RecordedAt::new(measurement.taken_at);
            let payload = |of| event_payload(&user, &user, of, &recorded_at).expect("written").get().to_owned();
            prop_assert_eq!(without_device(&payload(&measurement)), payload(&bare));
            prop_assert_eq!(without_device(&payload(&bare)), payload(&bare));
            let back = with_device(&payload(&bare), &device).expect("JSON");
            prop_assert_eq!(back.get(), payload(&measurement));
        }
    }

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
