//! Medians, and percentiles of many latencies in little room.

/// The middle of some numbers; of an even count, the mean of the two in the middle. 0 for none.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        count if count % 2 == 1 => numbers[half],
        _ => f64::midpoint(numbers[half - 1], numbers[half]),
    }
}

/// A bucket's width is at most a 32nd of what it holds: percentiles are right to 3 %.
const STEPS: usize = 32;

/// Counts of nanoseconds, in buckets that grow with what they hold.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; STEPS * 60], count: 0 }
    }
}

impl Histogram {
    /// Counts one latency.
    pub(crate) fn add(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    /// Adds the counts of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// The latency that `share` of all (0 to 1) do not exceed, in milliseconds; 0 if there are none.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted && seen > 0
        });
        found.map_or(0.0, |bucket| floor_of(bucket) as f64 / 1e6)
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS as u64 {
        return nanos as usize;
    }
    let doublings = nanos.ilog2() as usize - STEPS.ilog2() as usize;
    STEPS * (doublings + 1) + (nanos >> doublings) as usize - STEPS
}

fn floor_of(bucket: usize) -> u64 {
    match bucket / STEPS {
        0 => bucket as u64,
        doublings => ((bucket % STEPS + STEPS) as u64) << (doublings - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_bucket_holds_what_begins_at_its_floor_and_is_narrow() {
        for nanos in [0, 1, 31, 32, 33, 63, 64, 1000, 4_500_000, 900_000_000_000, u64::MAX] {
            let floor = floor_of(bucket(nanos));
            assert!(floor <= nanos && nanos - floor <= nanos / STEPS as u64, "{nanos} in {floor}");
        }
    }

    #[test]
    fn percentiles_come_within_a_bucket() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|ms| histogram.add(ms * 1_000_000));
        let (p50, p99) = (histogram.percentile_ms(0.5), histogram.percentile_ms(0.99));
        assert!((484.0..=500.0).contains(&p50), "{p50}");
        assert!((959.0..=990.0).contains(&p99), "{p99}");
        assert!(Histogram::default().percentile_ms(0.5).abs() < f64::EPSILON);
    }
}
