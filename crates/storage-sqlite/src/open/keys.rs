//! The key ring when a database is opened: whether it is the one the database needs.

use std::path::Path;
use std::sync::Arc;

use healthmate_care::{AuditAction, AuditRecord, By, Clock};
use healthmate_storage::seal::{KEY_RING_FILE, KeyId, KeyRing, KeySource, SealError};
use rusqlite::{Connection, TransactionBehavior, params};

use super::OpenError;
use crate::keys::RETIRE;
use crate::sealer::{Sealer, key_id};
use crate::writer::audit::TrailHead;

/// Each key the database knows, and whether it wraps anything.
const KNOWN: &str = "SELECT id, check_value, active,
        EXISTS (SELECT 1 FROM data_key WHERE ring_key = ring_key.id) FROM ring_key ORDER BY id";
const NONE_ACTIVE: &str = "UPDATE ring_key SET active = 0 WHERE active = 1";
const MAKE_ACTIVE: &str = "INSERT INTO ring_key (id, check_value, active) VALUES (?1, ?2, 1)
    ON CONFLICT (id) DO UPDATE SET active = 1";

struct Known {
    id: KeyId,
    check_value: Vec<u8>,
    active: bool,
    wraps: bool,
}

/// The ring of the database in `dir`, from `source`, by default a file there. A new database gets a new ring.
pub(super) fn sealer(
    dir: &Path,
    source: Option<&KeySource>,
    conn: &mut Connection,
    clock: Arc<dyn Clock>,
) -> Result<Sealer, OpenError> {
    let source = source.cloned().unwrap_or_else(|| KeySource::File(dir.join(KEY_RING_FILE)));
    let failed = |error: rusqlite::Error| OpenError::from_sqlite(&dir.join(super::DATABASE), &error);
    let known = known(conn).map_err(failed)?;
    let ring = match source.read()? {
        Some(ring) => ring,
        None if known.is_empty() => source.create(&*clock)?,
        None => return Err(missing(source, &known)),
    };
    for key in &known {
        match ring.check(&key.id, &key.check_value) {
            Ok(()) => {}
            Err(SealError::NoRingKey(_)) if !key.wraps => {}
            Err(SealError::NoRingKey(_)) => return Err(missing(source, &known)),
            Err(SealError::Refused) => return Err(OpenError::WrongKey { ring: source, id: key.id.clone() }),
        }
    }
    if !known.iter().any(|key| key.active && key.id == *ring.active()) {
        make_active(conn, &ring, &*clock).map_err(failed)?;
    }
    let retired = known.iter().filter(|key| !key.active && !key.wraps && !ring.holds(&key.id));
    for key in retired {
        forget_retired(conn, &key.id, &*clock).map_err(failed)?;
    }
    Ok(Sealer::new(source, ring, clock))
}

fn known(conn: &Connection) -> rusqlite::Result<Vec<Known>> {
    let mut statement = conn.prepare(KNOWN)?;
    let rows = statement.query_map([], |row| {
        Ok(Known { id: key_id(row, 0)?, check_value: row.get(1)?, active: row.get(2)?, wraps: row.get(3)? })
    })?;
    rows.collect()
}

fn missing(ring: KeySource, known: &[Known]) -> OpenError {
    let needed: Vec<_> = known.iter().filter(|key| key.wraps).map(|key| key.id.to_string()).collect();
    OpenError::NoKey { ring, needed: needed.join(", ") }
}

fn make_active(conn: &mut Connection, ring: &KeyRing, clock: &dyn Clock) -> rusqlite::Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    activate(&transaction, ring, clock)?;
    transaction.commit()
}

/// Has the database forget a key that has left the ring and wraps nothing, and puts that on record: whoever retired it was
/// stopped before the commit, or took it out of the settings.
fn forget_retired(conn: &mut Connection, id: &KeyId, clock: &dyn Clock) -> rusqlite::Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    if transaction.execute(RETIRE, [id.as_str()])? > 0 {
        let record = AuditRecord::new(By::server(clock.now()), AuditAction::KeyRetired);
        let record = record.object(format!("key:{id}")).reason("not_in_ring");
        TrailHead::read(&transaction)?.append(&transaction, &[record])?;
    }
    transaction.commit()
}

/// Has the database know the ring's active key as the one that wraps.
pub(crate) fn activate(conn: &Connection, ring: &KeyRing, clock: &dyn Clock) -> rusqlite::Result<()> {
    let check_value = ring.check_value(ring.active(), clock);
    let check_value =
        check_value.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    conn.execute(NONE_ACTIVE, [])?;
    conn.execute(MAKE_ACTIVE, params![ring.active().as_str(), check_value]).map(drop)
}
