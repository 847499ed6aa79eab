//! How much came of late: a few samples of counters that are kept anyway.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::telemetry::Metrics;

/// How often a sample is taken.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// How many samples are kept: a minute of them.
const SAMPLES: usize = 12;

/// What was counted up to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    at: Instant,
    connections: u64,
    messages_in: u64,
    messages_out: u64,
    events: u64,
    measurements: u64,
}

/// How much came a second, lately.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Recent {
    /// Over how many seconds: the last minute, or less where the server is younger.
    over_s: f64,
    /// New connections a second.
    connections: f64,
    /// WebSocket messages received a second.
    messages_in: f64,
    /// WebSocket messages sent a second.
    messages_out: f64,
    /// Durable events published a second.
    events: f64,
    /// Measurements stored a second.
    measurements: f64,
}

impl Sample {
    /// What is counted now.
    pub(crate) fn now(metrics: &Metrics) -> Self {
        Self {
            at: Instant::now(),
            connections: metrics.connections_opened.get(),
            messages_in: metrics.messages_received.get(),
            messages_out: metrics.messages_sent.get(),
            events: metrics.events_published.get(),
            measurements: metrics.measurements_recorded.get(),
        }
    }
}

/// The samples of the last minute, the oldest first. There is always one.
#[derive(Debug)]
pub(crate) struct Rates(Mutex<VecDeque<Sample>>);

impl Rates {
    /// Nothing had come when the server started.
    pub(crate) fn new(started: Instant) -> Self {
        let nothing = Sample {
            at: started,
            connections: 0,
            messages_in: 0,
            messages_out: 0,
            events: 0,
            measurements: 0,
        };
        Self(Mutex::new(VecDeque::from([nothing])))
    }

    /// Keeps a sample, and forgets the oldest where there are enough.
    pub(crate) fn keep(&self, sample: Sample) {
        let mut samples = self.0.lock();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// How much came a second between the oldest sample and `now`.
    pub(crate) fn until(&self, now: Sample) -> Recent {
        let since = self.0.lock().front().copied().unwrap_or(now);
        let seconds = now.at.duration_since(since.at).as_secs_f64();
        // Less than a millisecond says nothing about a second.
        let a_second = |after: u64, before: u64| {
            if seconds < 0.001 { 0.0 } else { to_thousandth((after.saturating_sub(before)) as f64 / seconds) }
        };
        Recent {
            over_s: to_thousandth(seconds),
            connections: a_second(now.connections, since.connections),
            messages_in: a_second(now.messages_in, since.messages_in),
            messages_out: a_second(now.messages_out, since.messages_out),
            events: a_second(now.events, since.events),
            measurements: a_second(now.measurements, since.measurements),
        }
    }
}

fn to_thousandth(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let started = Instant::now();
        let rates = Rates::new(started);
        let sample = |seconds: u64, count: u64| Sample {
            at: started + Duration::from_secs(seconds),
            connections: count / 10,
            messages_in: count,
            messages_out: 2 * count,
            events: count,
            measurements: 0,
        };
        let first = rates.until(sample(0, 0));
        assert_eq!((first.over_s, first.messages_in), (0.0, 0.0));
        let early = rates.until(sample(2, 30));
        assert_eq!((early.over_s, early.messages_in), (2.0, 15.0));
        // Ten a second for two minutes, then a hundred.
        for turn in 1..=24 {
            rates.keep(sample(turn * 5, turn * 50));
        }
        let steady = rates.until(sample(120, 1200));
        assert_eq!(
            (steady.over_s, steady.messages_in, steady.messages_out, steady.connections),
            (55.0, 10.0, 20.0, 1.0)
        );
        let faster = rates.until(sample(125, 1200 + 500));
        assert_eq!((faster.over_s, faster.messages_in, faster.measurements), (60.0, 17.5, 0.0));
    }
}
