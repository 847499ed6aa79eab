//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter: anything from nothing to twice as long as before, so that those who failed
/// together do not try again together. (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The most that is waited before the first attempt.
    pub first: Duration,
    /// The most that is ever waited.
    pub max: Duration,
}

impl Backoff {
    /// How long to wait before attempt number `attempt`, counted from 0, where `chance` is random, 0 to 1.
    pub fn wait(self, attempt: u32, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(attempt));
        doubled.min(self.max).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_doubles_up_to_the_limit() {
        let backoff = Backoff { first: Duration::from_secs(5), max: Duration::from_mins(1) };
        let most = |attempt| backoff.wait(attempt, 1.0).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, u32::MAX].map(most), [5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(backoff.wait(3, 0.0), Duration::ZERO);
        assert_eq!(backoff.wait(3, 0.5), Duration::from_secs(20));
    }
}
