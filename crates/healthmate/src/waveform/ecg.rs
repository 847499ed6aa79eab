//! An electrocardiogram that nobody's heart made: lead II at rest, for trying things out.
//!
//! Each wave of a beat is a bell curve with a place, a width and a height, as in "A dynamical model for generating
//! synthetic electrocardiogram signals" (IEEE Trans Biomed Eng 50(3), 2003). The rate rises and falls a little with
//! the breath, and so does the baseline.

use std::f64::consts::TAU;

/// A wave of a beat: seconds after the R peak, width in seconds, height in mV.
const WAVES: [(f64, f64, f64); 5] = [
    (-0.17, 0.024, 0.12),
    (-0.026, 0.009, -0.11),
    (0.0, 0.0105, 1.1),
    (0.027, 0.0095, -0.24),
    (0.27, 0.045, 0.29),
];

/// Breaths per second.
const BREATHS: f64 = 0.23;
/// By how much, of the mean, the heart rate rises and falls with the breath.
const SINUS_ARRHYTHMIA: f64 = 0.05;
/// By how much the baseline rises and falls with the breath, in mV.
const WANDER: f64 = 0.04;
/// Where in a beat its R peak is, as a part of the beat: most of a beat follows it.
const R_PEAK: f64 = 0.35;

/// The curve of a heart that beats at one mean rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecg {
    beats_per_second: f64,
}

impl Ecg {
    /// A heart with so many beats per minute.
    pub(crate) fn new(beats_per_minute: f64) -> Self {
        Self { beats_per_second: beats_per_minute / 60.0 }
    }

    /// The voltage in mV, to a thousandth, `seconds` after the beginning.
    pub(crate) fn at(self, seconds: f64) -> f64 {
        let breath = TAU * BREATHS * seconds;
        // The integral of a rate that rises and falls as the sine of the breath.
        let breathed = SINUS_ARRHYTHMIA * (1.0 - breath.cos()) / (TAU * BREATHS);
        let beats = self.beats_per_second * (seconds + breathed);
        let from_peak = (beats.fract() - R_PEAK) / self.beats_per_second;
        // The wave before and after belong to the beats beside this one; at fast rates they reach into it.
        let beat = 1.0 / self.beats_per_second;
        let neighbours = [-beat, 0.0, beat].map(|shift| wave_sum(from_peak + shift, beat));
        let voltage = neighbours.iter().sum::<f64>() + WANDER * breath.sin();
        (voltage * 1000.0).round() / 1000.0
    }
}

/// All waves of one beat, so many seconds from its R peak. The T wave comes sooner in a short beat (Bazett).
fn wave_sum(from_peak: f64, beat: f64) -> f64 {
    let stretch = beat.sqrt().min(1.0);
    let wave = |(place, width, height): &(f64, f64, f64)| {
        let place = if *place > 0.1 { place * stretch } else { *place };
        height * (-((from_peak - place) / width).powi(2) / 2.0).exp()
    };
    WAVES.iter().map(wave).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 250.0;

    fn minute(beats_per_minute: f64) -> Vec<f64> {
        let ecg = Ecg::new(beats_per_minute);
        (0..60 * RATE as usize).map(|sample| ecg.at(sample as f64 / RATE)).collect()
    }

    /// Samples that are the highest of their surroundings and above half of an R peak.
    fn peaks(samples: &[f64]) -> Vec<usize> {
        let is_peak = |window: &[f64]| window[1] > 0.55 && window[0] < window[1] && window[1] >= window[2];
        samples.windows(3).enumerate().filter(|(_, window)| is_peak(window)).map(|(at, _)| at + 1).collect()
    }

    #[test]
    fn a_minute_has_as_many_beats_as_the_rate_says() {
        for rate in [40.0, 72.0, 79.0, 180.0] {
            let count = peaks(&minute(rate)).len() as f64;
            assert!((count - rate).abs() <= 2.0, "{count} beats at {rate}");
        }
    }

    #[test]
    fn beats_come_a_little_faster_and_slower_with_the_breath() {
        let peaks = peaks(&minute(72.0));
        let intervals: Vec<f64> = peaks.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / RATE).collect();
        let shortest = intervals.iter().copied().fold(f64::MAX, f64::min);
        let longest = intervals.iter().copied().fold(0.0, f64::max);
        assert!(longest / shortest > 1.04 && longest / shortest < 1.2, "{shortest} to {longest} s");
    }

    #[test]
    fn the_waves_stand_in_their_order_and_have_their_heights() {
        let samples = minute(60.0);
        let peak = peaks(&samples)[3];
        let around = |from: f64, to: f64| {
            let place = |seconds: f64| (peak as f64 + seconds * RATE) as usize;
            let part = samples[place(from)..place(to)].iter().copied();
            (part.clone().fold(f64::MAX, f64::min), part.fold(f64::MIN, f64::max))
        };
        let (p, t) = (around(-0.25, -0.08).1, around(0.15, 0.4).1);
        assert!((0.05..0.2).contains(&p), "P wave of {p} mV");
        assert!((0.2..0.4).contains(&t), "T wave of {t} mV");
        assert!(around(0.01, 0.06).0 < -0.1, "S wave");
        assert!((0.9..1.2).contains(&samples[peak]), "R wave of {} mV", samples[peak]);
        assert!(samples.iter().all(|sample| (-0.6..1.4).contains(sample)));
    }
}
