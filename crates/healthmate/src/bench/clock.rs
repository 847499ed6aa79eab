//! The generator's stopwatch.

use std::sync::LazyLock;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; nothing else depends on it")]
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first call; never goes back.
pub(crate) fn nanos() -> u64 {
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds between two readings of [`nanos`].
pub(crate) fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}
