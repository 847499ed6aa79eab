//! Writing break-glass accesses: rows, notifications, and what the audit trail says of them.

use healthmate_care::{AuditRecord, BreakGlass, By};
use healthmate_protocol::Timestamp;
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{Error, Opened, Opening};
use rusqlite::params;
use uuid::Uuid;

use crate::break_glass::access;
use crate::failure::Failure;
use crate::queries::rows;
use crate::writer::group::Group;
use crate::writer::notifications;

const OPEN: &str = "INSERT INTO break_glass (id, patient, member, starts_at, ends_at, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
pub(crate) const HELD: &str = "SELECT count(*) FROM break_glass WHERE member = ?1 AND ends_at > ?2";
pub(crate) const BEGUN: &str = "SELECT count(*) FROM break_glass WHERE member = ?1 AND starts_at >= ?2";
pub(crate) const FIND: &str = "SELECT id, patient, member, starts_at, ends_at FROM break_glass WHERE id = ?1";
pub(crate) const END: &str = "UPDATE break_glass SET ends_at = ?2, end_recorded = 1 WHERE id = ?1";
pub(crate) const UNRECORDED: &str = "SELECT id, patient, member, starts_at, ends_at FROM break_glass
    WHERE end_recorded = 0 AND ends_at <= ?1 ORDER BY ends_at, id LIMIT ?2";
pub(crate) const RECORDED: &str = "UPDATE break_glass SET end_recorded = 1 WHERE id = ?1";

/// Everything that can refuse comes before the first change.
pub(crate) fn open(group: &mut Group<'_>, opening: &Opening, by: &By) -> Result<Opened, Failure> {
    let BreakGlass { id, patient, member, starts_at, ends_at } = &opening.access;
    group.patient(patient)?;
    group.person(member)?.ok_or(Error::NotFound("user"))?;
    notifications::check(group, &opening.notifications)?;
    let count = |group: &Group<'_>, sql, since: Timestamp| -> rusqlite::Result<u32> {
        group
            .conn
            .prepare_cached(sql)?
            .query_row(params![member.as_str(), since.as_micros()], |row| row.get(0))
    };
    if count(group, HELD, *starts_at)? >= opening.at_once {
        return Ok(Opened::TooManyAtOnce);
    }
    if count(group, BEGUN, opening.day_began)? >= opening.per_day {
        return Ok(Opened::TooManyADay);
    }
    let (id, column) = (id.to_string(), SealedColumn::BreakGlassReason);
    let reason = group.sealer.seal(group.conn, patient, column, id.as_bytes(), &opening.reason)?;
    let inserted = group.conn.prepare_cached(OPEN)?.execute(params![
        id,
        patient.as_str(),
        member.as_str(),
        starts_at.as_micros(),
        ends_at.as_micros(),
        reason,
    ])?;
    if inserted == 0 {
        return Err(Error::Exists("break-glass access").into());
    }
    notifications::tell(group, &opening.notifications)?;
    group.audit(&AuditRecord::break_glass_started(by.clone(), &opening.access))?;
    Ok(Opened::Yes)
}

pub(crate) fn end(group: &mut Group<'_>, id: Uuid, by: &By) -> Result<bool, Failure> {
    let found = rows(group.conn, FIND, [id.to_string()], access)?.pop();
    let mut access = found.ok_or(Error::NotFound("break-glass access"))?;
    if access.ends_at <= by.at {
        return Ok(false);
    }
    access.ends_at = by.at.max(access.starts_at);
    let row = params![id.to_string(), access.ends_at.as_micros()];
    group.conn.prepare_cached(END)?.execute(row)?;
    group.audit(&AuditRecord::break_glass_ended(by.clone(), &access))?;
    Ok(true)
}

pub(crate) fn record_ended(
    group: &mut Group<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<BreakGlass>, Failure> {
    let ended = rows(group.conn, UNRECORDED, params![now.as_micros(), limit], access)?;
    for access in &ended {
        group.conn.prepare_cached(RECORDED)?.execute([access.id.to_string()])?;
        group.audit(&AuditRecord::break_glass_ended(By::server(now), access))?;
    }
    Ok(ended)
}
