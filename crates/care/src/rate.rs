//! How often something may happen: a token bucket in sixteen bytes.

use std::time::{Duration, Instant};

/// How many times a second, on average, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: Duration,
}

impl Rate {
    /// `per_second` times a second (at least 1), and up to `burst` (at least 1) at once after a pause.
    pub fn per_second(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: interval.saturating_mul(burst.max(1)) }
    }

    /// `per_minute` times a minute (at least 1), and up to `burst` (at least 1) at once after a pause.
    pub fn per_minute(per_minute: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self { interval, burst: interval.saturating_mul(burst.max(1)) }
    }
}

/// What one client has used of its [`Rate`]. (The generic cell rate algorithm: it keeps the time at which the
/// bucket is full again, so that nothing has to be refilled.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes one from the bucket, if there is one.
    ///
    /// # Errors
    /// How long to wait until there is one, if the bucket is empty.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + rate.interval;
        let wait = full_at.saturating_duration_since(now).saturating_sub(rate.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        #[expect(
            clippy::disallowed_methods,
            reason = "an origin to count from; its value is never looked at"
        )]
        Instant::now()
    }

    #[test]
    fn a_burst_is_taken_and_one_more_is_not_until_time_has_passed() {
        let (rate, now) = (Rate::per_second(10, 3), start());
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, now), Ok(()));
        }
        assert_eq!(bucket.take(rate, now), Err(Duration::from_millis(100)));
        let later = now + Duration::from_millis(100);
        assert_eq!(bucket.take(rate, later), Ok(()));
        assert!(bucket.take(rate, later).is_err());
    }

    proptest! {
        /// Over any time, no more is taken than the burst and what the rate gives.
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            per_second in 1u32..200, burst in 1u32..20, waits in prop::collection::vec(0u64..100, 1..300),
        ) {
            let (rate, start) = (Rate::per_second(per_second, burst), start());
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (start, 0u32);
            for wait in waits {
                now += Duration::from_millis(wait);
                taken += u32::from(bucket.take(rate, now).is_ok());
            }
            let given = (now - start).as_secs_f64() * f64::from(per_second);
            prop_assert!(f64::from(taken) <= given + f64::from(burst) + 1e-6);
        }
    }
}
