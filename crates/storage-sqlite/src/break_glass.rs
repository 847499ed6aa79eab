//! Reading break-glass accesses, and the store's side of the trait: what is written is in `writer/break_glass.rs`.

use async_trait::async_trait;
use healthmate_care::{BreakGlass, By};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{BreakGlasses, Error, Opened, OpenedPatient, Opening};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::SqliteStore;
use crate::credentials::uuid;
use crate::failure::Failure;
use crate::queries::{rows, time, user_id};
use crate::sealer::Sealer;
use crate::writer::break_glass;

pub(crate) const OF: &str = "SELECT id, patient, member, starts_at, ends_at, reason FROM break_glass
    WHERE patient = ?1 ORDER BY starts_at DESC, id DESC LIMIT ?2";
pub(crate) const BETWEEN: &str = "SELECT id, patient, member, starts_at, ends_at FROM break_glass
    WHERE patient = ?1 AND member = ?2 ORDER BY ends_at DESC, id DESC LIMIT 1";
/// Few: as many as one may hold at once. They are sorted here.
pub(crate) const BY: &str = "SELECT id, patient, member, starts_at, ends_at FROM break_glass
    WHERE member = ?1 AND ends_at > ?2";

/// The columns `id, patient, member, starts_at, ends_at`.
pub(crate) fn access(row: &Row<'_>) -> rusqlite::Result<BreakGlass> {
    Ok(BreakGlass {
        id: uuid(row, 0)?,
        patient: user_id(row, 1)?,
        member: user_id(row, 2)?,
        starts_at: time(row, 3)?,
        ends_at: time(row, 4)?,
    })
}

fn of(
    conn: &Connection,
    sealer: &Sealer,
    patient: &UserId,
    limit: u32,
) -> Result<Vec<OpenedPatient>, Failure> {
    rows(conn, OF, params![patient.as_str(), limit], |row| {
        let (id, reason) = (row.get_ref(0)?.as_str()?.as_bytes(), row.get_ref(5)?.as_blob()?);
        let reason = sealer.open(conn, patient, SealedColumn::BreakGlassReason, id, reason)?;
        Ok(OpenedPatient { access: access(row)?, reason })
    })
}

fn between(conn: &Connection, patient: &UserId, member: &UserId) -> Result<Option<BreakGlass>, Failure> {
    Ok(rows(conn, BETWEEN, [patient.as_str(), member.as_str()], access)?.pop())
}

fn by(conn: &Connection, member: &UserId, now: Timestamp) -> Result<Vec<BreakGlass>, Failure> {
    let mut held = rows(conn, BY, params![member.as_str(), now.as_micros()], access)?;
    held.sort_by(|one, other| (&one.patient, one.id).cmp(&(&other.patient, other.id)));
    Ok(held)
}

#[async_trait]
impl BreakGlasses for SqliteStore {
    async fn break_glass(&self, opening: Opening, by: By) -> Result<Opened, Error> {
        self.writer.write(4, move |group| break_glass::open(group, &opening, &by)).await
    }

    async fn end_break_glass(&self, id: Uuid, by: By) -> Result<bool, Error> {
        self.writer.write(2, move |group| break_glass::end(group, id, &by)).await
    }

    async fn break_glasses_of(&self, patient: &UserId, limit: u32) -> Result<Vec<OpenedPatient>, Error> {
        let patient = patient.clone();
        self.read(move |conn, sealer| of(conn, sealer, &patient, limit)).await
    }

    async fn break_glass_between(
        &self,
        patient: &UserId,
        member: &UserId,
    ) -> Result<Option<BreakGlass>, Error> {
        let (patient, member) = (patient.clone(), member.clone());
        self.readers.read(move |conn| between(conn, &patient, &member)).await
    }

    async fn break_glasses_by(&self, member: &UserId, now: Timestamp) -> Result<Vec<BreakGlass>, Error> {
        let member = member.clone();
        self.readers.read(move |conn| by(conn, &member, now)).await
    }

    async fn record_ended_break_glasses(&self, now: Timestamp, limit: u32) -> Result<Vec<BreakGlass>, Error> {
        self.writer.write(limit as usize, move |group| break_glass::record_ended(group, now, limit)).await
    }
}
