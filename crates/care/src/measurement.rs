//! From what a device sent to a measurement that can be stored.

use healthmate_protocol::{
    ClientId, ErrorCode, MeasurementData, MeasurementInput, OriginalQuantity, Timestamp, UserId,
};

use crate::metric::Metric;

/// How far ahead of the server a device's clock may run, in milliseconds.
pub const MAX_CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// The longest `device` text, in characters.
pub const MAX_DEVICE_CHARS: usize = 128;

/// A plausible measurement in its canonical unit.
#[derive(Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub metric: Metric,
    /// The number in the metric's canonical unit.
    pub value: f64,
    /// When, as the device says.
    pub taken_at: Timestamp,
    /// The device's own name for it.
    pub client_id: Option<ClientId>,
    /// What measured it, in words.
    pub device: Option<String>,
    /// What was sent, where it was converted.
    pub original: Option<OriginalQuantity>,
}

/// Health data stays out of logs and panics.
impl std::fmt::Debug for Measurement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Measurement(redacted)")
    }
}

/// Why a measurement is not taken.
///
/// `Debug` shows its code and its field.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Refusal {
    /// The stable word.
    pub code: ErrorCode,
    /// The field that is wrong, relative to the measurement.
    pub field: &'static str,
    /// What is wrong, for people. It may repeat a value: never log it.
    pub message: String,
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refusal({}, {})", self.code.as_str(), self.field)
    }
}

impl Measurement {
    /// Checks what a device sent and brings it to the canonical unit.
    ///
    /// # Errors
    /// If the metric or unit is unknown, the value is no number or implausible, `taken_at` lies more than
    /// [`MAX_CLOCK_SKEW_MS`] after `now`, or `device` is too long.
    pub fn accept(input: MeasurementInput, now: Timestamp) -> Result<Self, Refusal> {
        let refuse = |code, field, message| Err(Refusal { code, field, message });
        let metric: Metric = match input.metric.parse() {
            Ok(metric) => metric,
            Err(error) => {
                return refuse(ErrorCode::UnknownMetric, "metric", format!("{error}"));
            }
        };
        let Some((value, converted)) = metric.canonical(input.value, &input.unit) else {
            let known = metric.spellings().collect::<Vec<_>>().join(", ");
            return refuse(ErrorCode::UnknownUnit, "unit", format!("{metric} is taken in {known}"));
        };
        let (low, high) = metric.plausible();
        if !(low..=high).contains(&value) {
            let unit = metric.unit();
            let message = format!("{metric} must be {low} to {high} {unit}, and this is {value} {unit}");
            return refuse(ErrorCode::ImplausibleValue, "value", message);
        }
        if input.taken_at > now.plus_millis(MAX_CLOCK_SKEW_MS) {
            let message = format!("lies more than 5 minutes ahead of the server's clock, which says {now}");
            return refuse(ErrorCode::TimeInFuture, "taken_at", message);
        }
        if input.device.as_ref().is_some_and(|device| device.chars().count() > MAX_DEVICE_CHARS) {
            let message = format!("must be at most {MAX_DEVICE_CHARS} characters");
            return refuse(ErrorCode::InvalidField, "device", message);
        }
        let original = converted.then_some(OriginalQuantity { value: input.value, unit: input.unit });
        let MeasurementInput { taken_at, client_id, device, .. } = input;
        Ok(Self { metric, value, taken_at, client_id, device, original })
    }

    /// What readers should know about it, as the wire says it.
    pub fn flags(&self) -> Vec<String> {
        if self.original.is_some() { vec!["converted".to_owned()] } else { Vec::new() }
    }

    /// The measurement as its event carries it.
    pub fn to_data(&self, patient: &UserId, author: &UserId, recorded_at: Timestamp) -> MeasurementData {
        MeasurementData {
            patient: patient.clone(),
            metric: self.metric.as_str().to_owned(),
            value: self.value,
            unit: self.metric.unit().to_owned(),
            taken_at: self.taken_at,
            recorded_at,
            author: author.clone(),
            client_id: self.client_id.clone(),
            device: self.device.clone(),
            original: self.original.clone(),
            flags: self.flags(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T07:00:00Z";

    fn input(metric: &str, value: f64, unit: &str, taken_at: &str) -> MeasurementInput {
        MeasurementInput {
            metric: metric.to_owned(),
            value,
            unit: unit.to_owned(),
            taken_at: taken_at.parse().expect("valid"),
            client_id: None,
            device: None,
        }
    }

    fn accept(input: MeasurementInput) -> Result<Measurement, (ErrorCode, &'static str)> {
        Measurement::accept(input, NOW.parse().expect("valid"))
            .map_err(|refusal| (refusal.code, refusal.field))
    }

    #[test]
    fn each_metric_is_taken_at_its_limits_and_refused_past_them() {
        for metric in Metric::ALL {
            let (low, high) = metric.plausible();
            let try_value = |value| accept(input(metric.as_str(), value, metric.unit(), NOW));
            assert!(try_value(low).is_ok() && try_value(high).is_ok(), "{metric}");
            let refused = Err((ErrorCode::ImplausibleValue, "value"));
            assert_eq!(try_value(low - 0.001), refused, "{metric}");
            assert_eq!(try_value(high + 0.001), refused, "{metric}");
            assert_eq!(try_value(f64::NAN), refused, "{metric}");
        }
    }

    #[test]
    fn a_fraction_of_oxygen_is_converted_and_says_so() {
        let measurement = accept(input("oxygen_saturation", 0.97, "1", NOW)).expect("plausible");
        assert_eq!(measurement.flags(), ["converted"]);
        assert_eq!(measurement.original.expect("kept").unit, "1");
        let as_percent = accept(input("oxygen_saturation", 0.97, "%", NOW));
        assert_eq!(as_percent, Err((ErrorCode::ImplausibleValue, "value")));
    }

    #[test]
    fn a_clock_five_minutes_ahead_is_taken_and_one_past_it_is_not() {
        assert!(accept(input("heart_rate", 70.0, "bpm", "2026-11-23T07:05:00Z")).is_ok());
        let late = accept(input("heart_rate", 70.0, "bpm", "2026-11-23T07:05:00.000001Z"));
        assert_eq!(late, Err((ErrorCode::TimeInFuture, "taken_at")));
    }

    #[test]
    fn debug_output_of_a_refusal_holds_no_value() {
        let refused =
            Measurement::accept(input("heart_rate", 987.0, "bpm", NOW), NOW.parse().expect("valid"));
        assert_eq!(format!("{refused:?}"), "Err(Refusal(implausible_value, value))");
    }

    #[test]
    fn unknown_words_are_refused_by_field() {
        assert_eq!(accept(input("mood", 1.0, "1", NOW)), Err((ErrorCode::UnknownMetric, "metric")));
        assert_eq!(accept(input("glucose", 90.0, "stone", NOW)), Err((ErrorCode::UnknownUnit, "unit")));
        let mut wordy = input("glucose", 90.0, "mg/dL", NOW);
        wordy.device = Some("x".repeat(MAX_DEVICE_CHARS + 1));
        assert_eq!(accept(wordy), Err((ErrorCode::InvalidField, "device")));
    }
}
