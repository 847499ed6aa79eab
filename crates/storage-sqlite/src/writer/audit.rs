//! Writing the audit trail.

use healthmate_care::audit::{Checkpoint, FIRST_LINK, Link, Written, link_with};
use healthmate_care::{AuditRecord, Role};
use healthmate_protocol::UserId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::audit::{FILED, HEAD};
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

/// Files records under their patients, as a run: those after one place, up to another.
const FILE: &str = "INSERT INTO audit_in_run (run, patient, seq)
    SELECT ?2, patient, seq FROM audit WHERE seq > ?1 AND seq <= ?2 AND patient IS NOT NULL ORDER BY patient, seq";
const ADD_RUN: &str = "INSERT INTO audit_run (upto) VALUES (?1)";

/// How many records are a run. One by one, each would write a page of its own; those that wait are looked through when a
/// patient asks, and so is each run.
const RUN: u64 = 4096;

/// The last record of the trail: its place and its link; and up to where records are filed under their patients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailHead {
    seq: u64,
    link: Link,
    filed: u64,
}

impl TrailHead {
    /// The last record on disk.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let place = |row: &Row<'_>, column| Ok(row.get::<_, i64>(column)?.unsigned_abs());
        let filed = conn.prepare_cached(FILED)?.query_row([], |row| place(row, 0))?;
        let row = |row: &Row<'_>| Ok(Self { seq: place(row, 0)?, link: row.get(1)?, filed });
        let found = conn.prepare_cached(HEAD)?.query_row([], row).optional()?;
        Ok(found.unwrap_or(Self { seq: 0, link: FIRST_LINK, filed }))
    }

    /// Appends records, and becomes the place of the last one.
    pub(crate) fn append(&mut self, conn: &Connection, records: &[AuditRecord]) -> rusqlite::Result<()> {
        let mut append = conn.prepare_cached(APPEND)?;
        for record in records {
            let written = Written::of(record);
            self.link = link_with(&self.link, self.seq + 1, record, &written);
            self.seq += 1;
            let AuditRecord { by, action, object, patient, reason, outcome } = record;
            append.execute(params![
                self.seq as i64,
                by.at.as_micros(),
                by.actor.kind(),
                by.actor.user().map(UserId::as_str),
                by.actor.role().map(Role::as_str),
                written.address,
                written.break_glass,
                action.as_str(),
                object,
                patient.as_ref().map(UserId::as_str),
                reason.as_deref(),
                outcome.as_str(),
                self.link,
            ])?;
        }
        // Somebody may have cut the trail: what is filed is then ahead of it.
        if self.seq.saturating_sub(self.filed) >= RUN {
            conn.prepare_cached(FILE)?.execute([self.filed as i64, self.seq as i64])?;
            conn.prepare_cached(ADD_RUN)?.execute([self.seq as i64])?;
            self.filed = self.seq;
        }
        Ok(())
    }
}
