//! Where time and chance enter, and the only place where they may.

use std::sync::Mutex;

use healthmate_protocol::{ConnectionId, NotificationId, SessionId, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Tells the time and makes ids. Passed to whatever needs either, so that a test can set both.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Sixteen bytes nobody can guess.
    fn random(&self) -> [u8; 16];

    /// A UUIDv7: sorts by time, cannot be guessed.
    fn uuid(&self) -> uuid::Uuid {
        let millis = u64::try_from(self.now().as_micros() / 1000).unwrap_or(0);
        let random = self.random();
        let mut tail = [0; 10];
        tail.copy_from_slice(&random[..10]);
        uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }

    /// A new connection's id.
    fn connection_id(&self) -> ConnectionId {
        uuid_as(&self.uuid(), ConnectionId::new)
    }

    /// A new session's id.
    fn session_id(&self) -> SessionId {
        uuid_as(&self.uuid(), SessionId::new)
    }

    /// A new notification's id.
    fn notification_id(&self) -> NotificationId {
        uuid_as(&self.uuid(), NotificationId::new)
    }
}

#[expect(clippy::expect_used, reason = "a UUID's text is always a valid id")]
fn uuid_as<T, E: std::fmt::Debug>(uuid: &uuid::Uuid, make: fn(&str) -> Result<T, E>) -> T {
    make(uuid.hyphenated().encode_lower(&mut [0; 36])).expect("a UUID is a valid id")
}

/// The machine's clock and randomness, seeded from the operating system.
#[derive(Debug)]
pub struct SystemClock {
    rng: Mutex<StdRng>,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { rng: Mutex::new(StdRng::from_os_rng()) }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    fn random(&self) -> [u8; 16] {
        random_bytes(&self.rng)
    }
}

/// A clock that stands until it is moved, with repeatable randomness.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
    rng: Mutex<StdRng>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), rng: Mutex::new(StdRng::seed_from_u64(7)) }
    }

    /// Moves the clock by `millis` milliseconds.
    pub fn advance_millis(&self, millis: i64) {
        let mut now = lock(&self.now);
        *now = now.plus_millis(millis);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *lock(&self.now)
    }

    fn random(&self) -> [u8; 16] {
        random_bytes(&self.rng)
    }
}

fn random_bytes(rng: &Mutex<StdRng>) -> [u8; 16] {
    lock(rng).random()
}

/// A panic elsewhere leaves a time or a generator that is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let clock = ManualClock::new("2026-11-23T07:00:00Z".parse().expect("valid"));
        let first = clock.connection_id();
        clock.advance_millis(1);
        let second = clock.connection_id();
        assert!(first < second, "{first} {second}");
        assert_eq!(first.as_str().len(), 36);
    }
}
