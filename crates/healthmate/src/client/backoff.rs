//! How long to wait before coming back.

use std::time::Duration;

use healthmate_care::Clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The pauses of one client, one after the other: so that a thousand clients cut at once come back spread out.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceilings: healthmate_care::Backoff,
    attempt: u32,
    rng: StdRng,
}

impl Backoff {
    /// The first ceiling of [`Backoff::new`].
    pub(crate) const BASE: Duration = Duration::from_millis(250);
    /// The last ceiling of [`Backoff::new`].
    pub(crate) const CAP: Duration = Duration::from_secs(15);

    /// Pauses of up to 250 ms at first and up to 15 s at last.
    pub(crate) fn new(seed: u64) -> Self {
        Self::within(Self::BASE, Self::CAP, seed)
    }

    /// Pauses of up to `base` at first and up to `cap` at last.
    pub(crate) fn within(base: Duration, cap: Duration, seed: u64) -> Self {
        Self {
            ceilings: healthmate_care::Backoff { first: base, max: cap },
            attempt: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.ceilings.wait(self.attempt, self.rng.random());
        self.attempt = self.attempt.saturating_add(1);
        pause
    }

    /// It went well: the next pause is short again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// A seed for [`Backoff::new`].
pub(crate) fn seed(clock: &dyn Clock) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&clock.random()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_under_a_ceiling_that_doubles_up_to_the_cap() {
        let mut backoff = Backoff::within(Duration::from_millis(100), Duration::from_millis(450), 1);
        for ceiling in [100, 200, 400, 450, 450] {
            assert!(backoff.pause() <= Duration::from_millis(ceiling));
        }
        for _ in 0..100 {
            assert!(backoff.pause() <= Duration::from_millis(450));
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }

    #[test]
    fn pauses_are_spread_and_repeatable() {
        let draw = |seed| {
            let mut backoff = Backoff::within(Duration::from_secs(1), Duration::from_secs(1), seed);
            (0..50).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        let pauses = draw(3);
        assert!(pauses.iter().any(|pause| *pause < Duration::from_millis(300)));
        assert!(pauses.iter().any(|pause| *pause > Duration::from_millis(700)));
    }
}
