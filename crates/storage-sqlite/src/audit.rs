//! Reading the audit trail.

use std::borrow::Cow;

use healthmate_care::audit::{Checkpoint, Link};
use healthmate_care::{Actor, AuditEntry, AuditRecord, By};
use healthmate_protocol::Timestamp;
use healthmate_storage::AccessLogQuery;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::Failure;
use crate::queries::{rows, time, unreadable, user_id};

pub(crate) const HEAD: &str = "SELECT seq, link FROM audit WHERE seq = (SELECT max(seq) FROM audit)";
pub(crate) const CHECKPOINTS: &str = "SELECT seq, link, at, key, signature FROM audit_checkpoint ORDER BY id";
pub(crate) const LAST_CHECKPOINT: &str = "SELECT seq, link, at, key, signature FROM audit_checkpoint
        WHERE id = (SELECT max(id) FROM audit_checkpoint)";
pub(crate) const AFTER: &str =
    "SELECT seq, at, actor, user, role, address, break_glass, action, object, patient, reason,
        outcome, link
    FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2";

/// Up to where records are filed under their patients.
pub(crate) const FILED: &str = "SELECT coalesce(max(upto), 0) FROM audit_run";
/// A patient's records that are not filed yet.
pub(crate) const OF_PATIENT_NEW: &str =
    "SELECT seq, at, actor, user, role, address, break_glass, action, object, patient, reason,
        outcome, link
    FROM audit WHERE patient = ?1 AND seq > ?6 AND seq < ?2 AND at >= ?3 AND at < ?4 ORDER BY seq DESC LIMIT ?5";
/// And those that are: in each run, the newest first, the patient's are side by side.
pub(crate) const OF_PATIENT: &str =
    "SELECT a.seq, a.at, a.actor, a.user, a.role, a.address, a.break_glass, a.action, a.object, a.patient, a.reason,
        a.outcome, a.link
    FROM audit_run AS r CROSS JOIN audit_in_run AS f ON f.run = r.upto CROSS JOIN audit AS a ON a.seq = f.seq
    WHERE r.upto <= ?6 AND f.patient = ?1 AND f.seq < ?2 AND a.patient = ?1 AND a.at >= ?3 AND a.at < ?4
    ORDER BY r.upto DESC, f.seq DESC LIMIT ?5";

/// The place is read first: a record that is filed meanwhile is still found where it was.
pub(crate) fn access_log(conn: &Connection, query: &AccessLogQuery) -> Result<Vec<AuditEntry>, Failure> {
    let before = query.before.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX);
    let from = query.from.map_or(i64::MIN, Timestamp::as_micros);
    let to = query.to.map_or(i64::MAX, Timestamp::as_micros);
    let filed: i64 = conn.prepare_cached(FILED)?.query_row([], |row| row.get(0))?;
    let patient = query.patient.as_str();
    let mut found =
        rows(conn, OF_PATIENT_NEW, params![patient, before, from, to, query.limit, filed], entry)?;
    let left = query.limit - found.len() as u32;
    if left > 0 {
        found.extend(rows(conn, OF_PATIENT, params![patient, before, from, to, left, filed], entry)?);
    }
    Ok(found)
}

pub(crate) fn audit_after(conn: &Connection, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, Failure> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    rows(conn, AFTER, params![seq, limit], entry)
}

pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let by = By {
        actor: actor(row)?,
        address: optional_word(row, 5)?,
        at: time(row, 1)?,
        break_glass: optional_word(row, 6)?,
    };
    let patient = row.get_ref(9)?.as_str_or_null()?.map(|_| user_id(row, 9)).transpose()?;
    let reason: Option<String> = row.get(10)?;
    let record = AuditRecord {
        by,
        action: word(row, 7)?,
        object: row.get(8)?,
        patient,
        reason: reason.map(Cow::Owned),
        outcome: word(row, 11)?,
    };
    Ok(AuditEntry { seq: row.get::<_, i64>(0)?.unsigned_abs(), record, link: row.get(12)? })
}

pub(crate) fn audit_head(conn: &Connection) -> Result<Option<(u64, Link)>, Failure> {
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?));
    Ok(conn.prepare_cached(HEAD)?.query_row([], read).optional()?)
}

pub(crate) fn last_checkpoint(conn: &Connection) -> Result<Option<Checkpoint>, Failure> {
    Ok(conn.prepare_cached(LAST_CHECKPOINT)?.query_row([], checkpoint).optional()?)
}

pub(crate) fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        seq: row.get::<_, i64>(0)?.unsigned_abs(),
        link: row.get(1)?,
        at: time(row, 2)?,
        key: row.get(3)?,
        signature: row.get(4)?,
    })
}

fn actor(row: &Row<'_>) -> rusqlite::Result<Actor> {
    match row.get_ref(2)?.as_str()? {
        "user" => Ok(Actor::User(user_id(row, 3)?, word(row, 4)?)),
        "anonymous" => Ok(Actor::Anonymous),
        "server" => Ok(Actor::Server),
        "command_line" => Ok(Actor::CommandLine),
        _ => Err(unreadable(2, Type::Text, "an unknown kind of actor")),
    }
}

pub(crate) fn optional_word<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    row.get_ref(column)?.as_str_or_null()?.map(|_| word(row, column)).transpose()
}

pub(crate) fn word<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|error: T::Err| unreadable(column, Type::Text, error))
}
