//! Server messages as text. What surrounds the data is alike in all of them and is written by hand, as are chunks of
//! waveforms, which come many a second from each device: serde would look for something to escape in every name of a
//! field, every time.

use std::io::Write;

use serde::Serialize;

use super::WireRef;
use crate::timestamp::Timestamp;
use crate::waveform::WaveformData;

/// How long what surrounds the data is at most, without a `correlation_id`.
const AROUND_BYTES: usize = 256;

/// How much room small data is given at once.
const SMALL_BYTES: usize = 256;

impl<D: ?Sized> WireRef<'_, D> {
    /// The message; `data` writes the JSON of its data.
    pub(super) fn around(&self, room: usize, data: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::with_capacity(AROUND_BYTES + room);
        out.extend_from_slice(br#"{"type":""#);
        out.extend_from_slice(self.r#type.as_bytes());
        out.extend_from_slice(br#"","timestamp":"#);
        push_time(self.timestamp, &mut out);
        if let Some(id) = self.correlation_id {
            out.extend_from_slice(br#","correlation_id":"#);
            push_text(id.as_str(), &mut out);
        }
        if let Some(topic) = self.topic {
            // Neither part can hold anything to escape.
            out.extend_from_slice(br#","topic":""#);
            out.extend_from_slice(topic.kind().as_str().as_bytes());
            out.push(b':');
            out.extend_from_slice(topic.id().as_str().as_bytes());
            out.push(b'"');
        }
        if let Some(offset) = self.offset {
            out.extend_from_slice(br#","offset":"#);
            push_json(&offset, &mut out);
        }
        out.extend_from_slice(br#","data":"#);
        data(&mut out);
        out.push(b'}');
        // It was put together from texts and JSON.
        String::from_utf8(out).unwrap_or_default()
    }
}

impl<D: Serialize + ?Sized> WireRef<'_, D> {
    pub(super) fn to_text(&self) -> String {
        self.around(SMALL_BYTES, |out| push_json(self.data, out))
    }
}

impl WireRef<'_, WaveformData> {
    /// The same as [`WireRef::to_text`], quicker.
    pub(super) fn waveform_text(&self) -> String {
        let samples = self.data.samples.len();
        // A sample of an ECG in mV is seldom longer than `-0.123,`.
        self.around(SMALL_BYTES + 8 * samples, |out| push_waveform(self.data, out))
    }
}

fn push_waveform(data: &WaveformData, out: &mut Vec<u8>) {
    let WaveformData {
        patient,
        waveform,
        unit,
        started_at,
        sample_rate_hz,
        samples,
        author,
        sequence,
        device,
    } = data;
    out.extend_from_slice(br#"{"patient":"#);
    push_text(patient.as_str(), out);
    out.extend_from_slice(br#","waveform":"#);
    push_text(waveform, out);
    out.extend_from_slice(br#","unit":"#);
    push_text(unit, out);
    out.extend_from_slice(br#","started_at":"#);
    push_time(*started_at, out);
    out.extend_from_slice(br#","sample_rate_hz":"#);
    push_json(sample_rate_hz, out);
    out.extend_from_slice(br#","samples":"#);
    push_json(samples, out);
    out.extend_from_slice(br#","author":"#);
    push_text(author.as_str(), out);
    if let Some(sequence) = sequence {
        out.extend_from_slice(br#","sequence":"#);
        push_json(sequence, out);
    }
    if let Some(device) = device {
        out.extend_from_slice(br#","device":"#);
        push_text(device, out);
    }
    out.push(b'}');
}

fn push_time(time: Timestamp, out: &mut Vec<u8>) {
    out.push(b'"');
    // A vector takes everything.
    let _ = write!(out, "{time}");
    out.push(b'"');
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        push_json(text, out);
    }
}

fn push_json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    // Only maps with keys that are no text fail to serialize, and no message has one.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CorrelationId, Offset, UserId};
    use crate::server::{Envelope, Pong, ServerMessage};

    /// The same, by serde.
    #[derive(Serialize)]
    struct BySerde<'a, D> {
        r#type: &'a str,
        timestamp: Timestamp,
        #[serde(skip_serializing_if = "Option::is_none")]
        correlation_id: Option<CorrelationId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<crate::Topic>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<Offset>,
        data: &'a D,
    }

    fn by_serde<D: Serialize>(envelope: Envelope, data: &D) -> String {
        let Envelope { timestamp, correlation_id, topic, offset, message } = envelope;
        let all = BySerde { r#type: message.name(), timestamp, correlation_id, topic, offset, data };
        serde_json::to_string(&all).expect("text keys")
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_001)
    }

    #[test]
    fn what_surrounds_the_data_is_what_serde_would_write() {
        let correlation_ids = [None, Some("r-1"), Some(r#"a "quoted" \ one"#)];
        let topics = [None, Some("health:p@1"), Some("ward:w_1.x-2")];
        for (id, topic) in correlation_ids.into_iter().flat_map(|id| topics.map(|topic| (id, topic))) {
            for offset in [None, Some(Offset(u64::MAX / 2))] {
                let envelope = Envelope {
                    correlation_id: id.map(|id| CorrelationId::new(id).expect("valid")),
                    topic: topic.map(|topic| topic.parse().expect("valid")),
                    offset,
                    ..Envelope::new(now(), ServerMessage::Pong(Pong {}))
                };
                assert_eq!(envelope.to_text(), by_serde(envelope, &Pong {}));
            }
        }
    }

    #[test]
    fn a_waveform_is_what_serde_would_write() {
        let id = |text| UserId::new(text).expect("valid");
        let data = |text: &str, samples: Vec<Option<f64>>, sequence, device| WaveformData {
            patient: id("p.1"),
            waveform: text.to_owned(),
            unit: "mm[Hg]".to_owned(),
            started_at: Timestamp::from_micros(-1),
            sample_rate_hz: 250.0,
            samples,
            author: id("d@1"),
            sequence,
            device,
        };
        let texts = ["ecg_lead_ii", "a \"b\" \\ c\n\u{7f}\u{0}", "Größe ♥", ""];
        for text in texts {
            for data in [
                data(text, vec![], None, None),
                data(text, vec![Some(0.02), None, Some(-1e-7), Some(1e300)], Some(7), Some(text.to_owned())),
            ] {
                let message = ServerMessage::HealthWaveform(data.clone());
                let event = Envelope::ephemeral(now(), "health:p.1".parse().expect("valid"), message);
                assert_eq!(event.to_text(), by_serde(event, &data));
            }
        }
    }
}
