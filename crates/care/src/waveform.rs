//! What can be recorded as a waveform, and which chunks are taken.

use std::fmt;
use std::str::FromStr;

use healthmate_protocol::{ErrorCode, MAX_SAMPLES, Timestamp, UserId, WaveformData, WaveformInput};

use crate::measurement::{MAX_CLOCK_SKEW_MS, MAX_DEVICE_CHARS, Refusal};

/// The highest sample rate taken, in Hz.
pub const MAX_SAMPLE_RATE_HZ: f64 = 1000.0;

/// Something that is recorded as a curve. The words follow IEEE 11073-10101, the LOINC codes 11524-6 (ECG study) and
/// those of each lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waveform(&'static Definition);

/// What is fixed about a waveform.
#[derive(Debug, PartialEq)]
struct Definition {
    name: &'static str,
    /// The only unit taken, in UCUM: samples are passed on as they come.
    unit: &'static str,
    /// The smallest and largest sample, both inclusive; wider than any device's range.
    plausible: (f64, f64),
}

impl Eq for Definition {}

const fn ecg(name: &'static str) -> Definition {
    // Twice the input range of ±10 mV that most recorders have.
    Definition { name, unit: "mV", plausible: (-20.0, 20.0) }
}

const ALL: [Definition; 15] = [
    ecg("ecg_lead_i"),
    ecg("ecg_lead_ii"),
    ecg("ecg_lead_iii"),
    ecg("ecg_lead_avr"),
    ecg("ecg_lead_avl"),
    ecg("ecg_lead_avf"),
    ecg("ecg_lead_v1"),
    ecg("ecg_lead_v2"),
    ecg("ecg_lead_v3"),
    ecg("ecg_lead_v4"),
    ecg("ecg_lead_v5"),
    ecg("ecg_lead_v6"),
    // A plethysmogram has no absolute scale.
    Definition { name: "pleth", unit: "1", plausible: (-100_000.0, 100_000.0) },
    Definition { name: "respiration", unit: "Ohm", plausible: (-5000.0, 5000.0) },
    Definition { name: "arterial_pressure", unit: "mm[Hg]", plausible: (-50.0, 400.0) },
];

impl Waveform {
    /// Every waveform.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(Self)
    }

    /// The word on the wire, such as `ecg_lead_ii`.
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// The unit of its samples, in UCUM.
    pub fn unit(self) -> &'static str {
        self.0.unit
    }

    /// The smallest and largest sample taken, both inclusive.
    pub fn plausible(self) -> (f64, f64) {
        self.0.plausible
    }

    /// Checks a chunk that `author` sent for `patient`, and makes it what watchers receive.
    ///
    /// # Errors
    /// If the waveform is unknown, the unit is not its own, there are no samples or more than [`MAX_SAMPLES`], one is
    /// implausible, the rate is not above 0 and at most [`MAX_SAMPLE_RATE_HZ`], `started_at` lies more than
    /// [`MAX_CLOCK_SKEW_MS`] after `now`, or `device` is too long.
    pub fn accept(
        input: WaveformInput,
        patient: &UserId,
        author: &UserId,
        now: Timestamp,
    ) -> Result<WaveformData, Refusal> {
        let waveform: Self = input.waveform.parse().map_err(|error: UnknownWaveform| {
            refusal(ErrorCode::UnknownWaveform, "waveform", error.to_string())
        })?;
        waveform.check(&input, now)?;
        let WaveformInput { waveform, unit, started_at, sample_rate_hz, samples, sequence, device } = input;
        let (patient, author) = (patient.clone(), author.clone());
        Ok(WaveformData {
            patient,
            waveform,
            unit,
            started_at,
            sample_rate_hz,
            samples,
            author,
            sequence,
            device,
        })
    }

    fn check(self, input: &WaveformInput, now: Timestamp) -> Result<(), Refusal> {
        if input.unit != self.unit() {
            let message = format!("{self} is taken in {}", self.unit());
            return Err(refusal(ErrorCode::UnknownUnit, "unit", message));
        }
        if !(input.sample_rate_hz > 0.0 && input.sample_rate_hz <= MAX_SAMPLE_RATE_HZ) {
            let message = format!("must be above 0 and at most {MAX_SAMPLE_RATE_HZ}");
            return Err(refusal(ErrorCode::InvalidField, "sample_rate_hz", message));
        }
        if !(1..=MAX_SAMPLES).contains(&input.samples.len()) {
            let message =
                format!("must hold 1 to {MAX_SAMPLES} samples, and this holds {}", input.samples.len());
            return Err(refusal(ErrorCode::InvalidField, "samples", message));
        }
        let (low, high) = self.plausible();
        if input.samples.iter().flatten().any(|sample| !(low..=high).contains(sample)) {
            let message = format!("each must be {low} to {high} {}, or null", self.unit());
            return Err(refusal(ErrorCode::ImplausibleValue, "samples", message));
        }
        if input.started_at > now.plus_millis(MAX_CLOCK_SKEW_MS) {
            let message = format!("lies more than 5 minutes ahead of the server's clock, which says {now}");
            return Err(refusal(ErrorCode::TimeInFuture, "started_at", message));
        }
        if input.device.as_ref().is_some_and(|device| device.chars().count() > MAX_DEVICE_CHARS) {
            let message = format!("must be at most {MAX_DEVICE_CHARS} characters");
            return Err(refusal(ErrorCode::InvalidField, "device", message));
        }
        Ok(())
    }
}

fn refusal(code: ErrorCode, field: &'static str, message: String) -> Refusal {
    Refusal { code, field, message }
}

impl fmt::Display for Waveform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No waveform has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no waveform has this name; known: {}", ALL.iter().map(|known| known.name).collect::<Vec<_>>().join(", "))]
pub struct UnknownWaveform;

impl FromStr for Waveform {
    type Err = UnknownWaveform;

    fn from_str(text: &str) -> Result<Self, UnknownWaveform> {
        ALL.iter().find(|known| known.name == text).map(Self).ok_or(UnknownWaveform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T07:00:00Z";

    fn chunk() -> WaveformInput {
        WaveformInput {
            waveform: "ecg_lead_ii".to_owned(),
            unit: "mV".to_owned(),
            started_at: NOW.parse().expect("valid"),
            sample_rate_hz: 250.0,
            samples: vec![Some(0.1), None],
            sequence: Some(1),
            device: None,
        }
    }

    fn accept(input: WaveformInput) -> Result<WaveformData, (ErrorCode, &'static str)> {
        let id = |text: &str| UserId::new(text).expect("valid");
        Waveform::accept(input, &id("p"), &id("d"), NOW.parse().expect("valid"))
            .map_err(|refusal| (refusal.code, refusal.field))
    }

    #[test]
    fn a_chunk_is_passed_on_as_it_came_with_whose_and_whos() {
        let data = accept(chunk()).expect("plausible");
        assert_eq!((data.patient.as_str(), data.author.as_str()), ("p", "d"));
        assert_eq!((data.samples, data.sequence, data.sample_rate_hz), (chunk().samples, Some(1), 250.0));
    }

    #[test]
    fn each_waveform_is_taken_at_its_limits_and_refused_past_them() {
        for waveform in Waveform::all() {
            let (low, high) = waveform.plausible();
            let sample = |value| {
                let (name, unit) = (waveform.as_str().to_owned(), waveform.unit().to_owned());
                accept(WaveformInput { waveform: name, unit, samples: vec![Some(value)], ..chunk() })
                    .map(|_| ())
            };
            assert_eq!((sample(low), sample(high)), (Ok(()), Ok(())), "{waveform}");
            let refused = Err((ErrorCode::ImplausibleValue, "samples"));
            assert_eq!((sample(low - 0.1), sample(high + 0.1)), (refused, refused), "{waveform}");
        }
    }

    #[test]
    fn each_field_is_held_to_its_limit() {
        let rate = |sample_rate_hz| accept(WaveformInput { sample_rate_hz, ..chunk() }).err();
        assert_eq!((rate(0.001), rate(MAX_SAMPLE_RATE_HZ)), (None, None));
        let wrong = Some((ErrorCode::InvalidField, "sample_rate_hz"));
        assert_eq!([rate(0.0), rate(-1.0), rate(f64::NAN), rate(1000.1)], [wrong; 4]);
        let many = |count| accept(WaveformInput { samples: vec![None; count], ..chunk() }).err();
        let wrong = Some((ErrorCode::InvalidField, "samples"));
        assert_eq!([many(1), many(MAX_SAMPLES), many(0), many(MAX_SAMPLES + 1)], [None, None, wrong, wrong]);
        let named = |chars| accept(WaveformInput { device: Some("x".repeat(chars)), ..chunk() }).err();
        assert_eq!((named(128), named(129)), (None, Some((ErrorCode::InvalidField, "device"))));
        let at = |started_at: &str| {
            accept(WaveformInput { started_at: started_at.parse().expect("valid"), ..chunk() }).err()
        };
        assert_eq!(at("2026-11-23T07:05:00Z"), None);
        assert_eq!(at("2026-11-23T07:05:00.000001Z"), Some((ErrorCode::TimeInFuture, "started_at")));
        let unit = accept(WaveformInput { unit: "V".to_owned(), ..chunk() }).err();
        assert_eq!(unit, Some((ErrorCode::UnknownUnit, "unit")));
        let name = accept(WaveformInput { waveform: "aura".to_owned(), ..chunk() }).err();
        assert_eq!(name, Some((ErrorCode::UnknownWaveform, "waveform")));
    }
}
