//! Writing the audit trail.

use healthmate_care::audit::{Checkpoint, FIRST_LINK, Link, link};
use healthmate_care::{AuditRecord, Role};
use healthmate_protocol::UserId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::audit::HEAD;
use crate::failure::Failure;
use crate::writer::group::Group;

const ADD_CHECKPOINT: &str =
    "INSERT INTO audit_checkpoint (seq, link, at, key, signature) VALUES (?1, ?2, ?3, ?4, ?5)";
const APPEND: &str = "INSERT INTO audit
        (seq, at, actor, user, role, address, break_glass, action, object, patient, reason, outcome, link)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// Keeps a checkpoint.
pub(crate) fn add_checkpoint(group: &mut Group<'_>, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let Checkpoint { seq, link, at, key, signature } = checkpoint;
    let row = params![*seq as i64, link, at.as_micros(), key, signature];
    group.conn.prepare_cached(ADD_CHECKPOINT)?.execute(row)?;
    Ok(())
}

/// The last record of the trail: its place and its link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailHead {
    seq: u64,
    link: Link,
}

impl TrailHead {
    /// The last record on disk.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let row = |row: &Row<'_>| Ok(Self { seq: row.get::<_, i64>(0)?.unsigned_abs(), link: row.get(1)? });
        let found = conn.prepare_cached(HEAD)?.query_row([], row).optional()?;
        Ok(found.unwrap_or(Self { seq: 0, link: FIRST_LINK }))
    }

    /// Appends a record, and becomes its place.
    pub(crate) fn append(&mut self, conn: &Connection, record: &AuditRecord) -> rusqlite::Result<()> {
        let next = Self { seq: self.seq + 1, link: link(&self.link, self.seq + 1, record) };
        let AuditRecord { by, action, object, patient, reason, outcome } = record;
        conn.prepare_cached(APPEND)?.execute(params![
            next.seq as i64,
            by.at.as_micros(),
            by.actor.kind(),
            by.actor.user().map(UserId::as_str),
            by.actor.role().map(Role::as_str),
            by.address.map(|address| address.to_string()),
            by.break_glass.map(|id| id.to_string()),
            action.as_str(),
            object,
            patient.as_ref().map(UserId::as_str),
            reason.as_deref(),
            outcome.as_str(),
            next.link,
        ])?;
        *self = next;
        Ok(())
    }
}
