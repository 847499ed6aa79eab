//! Forgetting what is old.

use healthmate_protocol::Timestamp;
use rusqlite::{OptionalExtension, params};

use crate::failure::Failure;
use crate::writer::group::Group;

pub(crate) const OLD_TOPICS: &str =
    "SELECT key, oldest, head FROM topic WHERE oldest_at < ?1 ORDER BY oldest_at LIMIT ?2";
pub(crate) const FIRST_KEPT: &str = "SELECT offset FROM event
    WHERE topic = ?1 AND offset >= ?2 AND offset < ?3 AND recorded_at >= ?4 ORDER BY offset LIMIT 1";
pub(crate) const FORGET_EVENTS: &str = "DELETE FROM event WHERE topic = ?1 AND offset < ?2";
pub(crate) const SET_OLDEST: &str = "UPDATE topic SET oldest = ?2,
        oldest_at = (SELECT recorded_at FROM event WHERE topic = ?1 AND offset = ?2)
    WHERE key = ?1";
pub(crate) const FORGET_KEYS: &str = "DELETE FROM idempotency WHERE id IN
    (SELECT id FROM idempotency WHERE first_used < ?1 ORDER BY first_used LIMIT ?2)";

/// A topic with something to forget.
pub(crate) struct Old {
    pub(crate) topic: i64,
    pub(crate) oldest: i64,
    pub(crate) head: i64,
}

/// Forgets at most `limit` events stored before `before`, of the topics whose oldest event has waited longest.
pub(crate) fn trim(group: &mut Group<'_>, before: Timestamp, limit: u32) -> Result<u64, Failure> {
    group.write_heads()?;
    let topics: Vec<Old> = group
        .conn
        .prepare_cached(OLD_TOPICS)?
        .query_map(params![before.as_micros(), limit], |row| {
            Ok(Old { topic: row.get(0)?, oldest: row.get(1)?, head: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    let mut left = i64::from(limit);
    for old in topics {
        left -= trim_topic(group, &old, before, left)?;
    }
    Ok((i64::from(limit) - left).unsigned_abs())
}

/// Only from the oldest on, up to the first event that is kept: the clock may have gone back between two events.
pub(crate) fn trim_topic(
    group: &Group<'_>,
    old: &Old,
    before: Timestamp,
    limit: i64,
) -> rusqlite::Result<i64> {
    let end = (old.head + 1).min(old.oldest + limit);
    let first_kept = group
        .conn
        .prepare_cached(FIRST_KEPT)?
        .query_row(params![old.topic, old.oldest, end, before.as_micros()], |row| row.get(0))
        .optional()?
        .unwrap_or(end);
    group.conn.prepare_cached(FORGET_EVENTS)?.execute(params![old.topic, first_kept])?;
    group.conn.prepare_cached(SET_OLDEST)?.execute(params![old.topic, first_kept])?;
    Ok(first_kept - old.oldest)
}

pub(crate) fn forget_idempotency_keys(
    group: &Group<'_>,
    before: Timestamp,
    limit: u32,
) -> Result<u64, Failure> {
    let forgotten = group.conn.prepare_cached(FORGET_KEYS)?.execute(params![before.as_micros(), limit])?;
    Ok(forgotten as u64)
}
