//! Cuts a curve into strips, and says when each is due. Pure: no socket, no clock.

use healthmate_protocol::client::HealthWaveform;
use healthmate_protocol::{ClientMessage, Command, Timestamp, UserId, WaveformInput};

use super::ecg::Ecg;

/// How long a strip is, in seconds, where the rate allows.
const STRIP_S: f64 = 0.2;

/// How many strips may be late and are sent all the same. What is older is old news.
const LATE: u64 = 5;

/// An ECG in strips of a fifth of a second. A strip is due when its last sample would have been taken.
#[derive(Debug)]
pub(crate) struct Strips {
    ecg: Ecg,
    patient: UserId,
    rate_hz: f64,
    samples: usize,
    began: Timestamp,
    next: u64,
}

impl Strips {
    /// Begins at `began`.
    pub(crate) fn new(ecg: Ecg, patient: UserId, rate_hz: f64, began: Timestamp) -> Self {
        let samples = ((rate_hz * STRIP_S).round() as usize).max(1);
        Self { ecg, patient, rate_hz, samples, began, next: 0 }
    }

    /// When the next strip is due.
    pub(crate) fn due_at(&self) -> Timestamp {
        self.begins(self.next + 1)
    }

    /// The next strip that is due at `now`, if there is one. Where more than a second of them is due, as after a cut,
    /// the oldest are left out.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<ClientMessage> {
        let seconds = now.millis_since(self.began).max(0) as f64 / 1000.0;
        let due = (seconds * self.rate_hz / self.samples as f64).floor() as u64;
        let number = self.next.max(due.saturating_sub(LATE));
        if number >= due {
            return None;
        }
        self.next = number + 1;
        let first = number * self.samples as u64;
        let sample = |place: u64| Some(self.ecg.at((first + place) as f64 / self.rate_hz));
        let data = WaveformInput {
            waveform: "ecg_lead_ii".to_owned(),
            unit: "mV".to_owned(),
            started_at: self.begins(number),
            sample_rate_hz: self.rate_hz,
            samples: (0..self.samples as u64).map(sample).collect(),
            sequence: Some(number),
            device: Some("synthetic ECG".to_owned()),
        };
        let command = Command::HealthWaveform(HealthWaveform { patient: Some(self.patient.clone()), data });
        Some(ClientMessage { correlation_id: None, command })
    }

    /// When the first sample of a strip is taken.
    fn begins(&self, number: u64) -> Timestamp {
        let seconds = (number * self.samples as u64) as f64 / self.rate_hz;
        Timestamp::from_micros(self.began.as_micros() + (seconds * 1_000_000.0).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::Waveform;

    use super::*;

    fn noon() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().expect("valid")
    }

    fn strips(rate_hz: f64) -> Strips {
        Strips::new(Ecg::new(72.0), "p".parse().expect("valid"), rate_hz, noon())
    }

    fn taken(strips: &mut Strips, after_ms: i64) -> Option<WaveformInput> {
        match strips.take(noon().plus_millis(after_ms))?.command {
            Command::HealthWaveform(sent) => Some(sent.data),
            other => panic!("not {other:?}"),
        }
    }

    #[test]
    fn a_strip_is_due_when_its_last_sample_is_taken_and_the_next_one_joins_it() {
        let mut strips = strips(250.0);
        assert_eq!(strips.due_at(), noon().plus_millis(200));
        assert!(taken(&mut strips, 199).is_none());
        let first = taken(&mut strips, 200).expect("due");
        assert_eq!((first.started_at, first.samples.len(), first.sequence), (noon(), 50, Some(0)));
        assert!(taken(&mut strips, 399).is_none());
        let second = taken(&mut strips, 400).expect("due");
        assert_eq!((second.started_at, second.sequence), (noon().plus_millis(200), Some(1)));
        assert_ne!(first.samples, second.samples);
    }

    #[test]
    fn a_second_is_made_up_for_and_what_is_older_is_left_out() {
        let mut strips = strips(250.0);
        let late: Vec<_> = std::iter::from_fn(|| taken(&mut strips, 60_000)?.sequence).collect();
        assert_eq!(late, [295, 296, 297, 298, 299]);
        assert_eq!(strips.due_at(), noon().plus_millis(60_200));
    }

    #[test]
    fn the_server_takes_strips_of_every_rate() {
        let id: UserId = "p".parse().expect("valid");
        for rate in [0.5, 1.0, 62.5, 250.0, 333.3, 1000.0] {
            let strip = taken(&mut strips(rate), 10_000).expect("due");
            Waveform::accept(strip, &id, &id, noon().plus_millis(10_000)).expect("taken");
        }
    }
}
