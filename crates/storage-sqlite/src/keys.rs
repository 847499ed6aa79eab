//! The key ring of a store that serves: which keys wrap how much, rotation, and the end of an old key.

use healthmate_care::{AuditAction, AuditRecord, By};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::Error;
use healthmate_storage::seal::{KeyId, KeyRing, KeySource, KeySourceError, RingError, WrappedKey};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::failure::Failure;
use crate::open::keys::activate;
use crate::queries::{rows, user_id};
use crate::sealer::{Sealer, key_id, wrapped};
use crate::writer::group::Group;

/// How many data keys one transaction wraps anew: few, so that measurements do not wait for it.
const BATCH: u32 = 256;

const COUNTS: &str = "SELECT ring_key, count(*) FROM data_key GROUP BY ring_key";
const OLD: &str = "SELECT u.id, k.version, k.ring_key, k.wrapped
    FROM data_key AS k JOIN user AS u ON u.key = k.user WHERE k.ring_key <> ?1 LIMIT ?2";
const REWRAP: &str = "UPDATE data_key SET ring_key = ?2, wrapped = ?3
    WHERE user = (SELECT key FROM user WHERE id = ?1)";
pub(crate) const RETIRE: &str = "DELETE FROM ring_key WHERE id = ?1 AND active = 0
    AND NOT EXISTS (SELECT 1 FROM data_key WHERE ring_key = ?1)";

/// A key of the ring, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingKeyStatus {
    /// Its name.
    pub id: KeyId,
    /// When it was made.
    pub made_at: Timestamp,
    /// Whether new data keys are wrapped by it.
    pub active: bool,
    /// How many data keys it wraps.
    pub data_keys: u64,
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that wraps all data keys now.
    pub active: KeyId,
    /// How many data keys were wrapped anew.
    pub rewrapped: u64,
    /// Whether it only finished what an earlier one had left.
    pub resumed: bool,
}

/// Why keys were not rotated or retired. Everything can still be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The ring cannot be read or written.
    #[error(transparent)]
    Source(#[from] KeySourceError),
    /// The ring does not allow it.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The key still wraps data keys.
    #[error("{id} still wraps {data_keys} data keys: run `healthmate keys rotate` first")]
    Wraps {
        /// The key.
        id: KeyId,
        /// How many.
        data_keys: u64,
    },
    /// The database cannot be read or written.
    #[error(transparent)]
    Storage(#[from] Error),
}

impl SqliteStore {
    /// The keys of the ring, the oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn keys(&self) -> Result<Vec<RingKeyStatus>, KeysError> {
        let counts = self.read(|conn, _| counts(conn)).await?;
        let ring = self.shared.sealer.ring();
        let count = |id: &KeyId| counts.iter().find(|(key, _)| key == id).map_or(0, |(_, count)| *count);
        let status = |(id, made_at): (&KeyId, Timestamp)| RingKeyStatus {
            id: id.clone(),
            made_at,
            active: id == ring.active(),
            data_keys: count(id),
        };
        Ok(ring.keys().map(status).collect())
    }

    /// Makes a new key the active one, and wraps all data keys with it, in small transactions; or, where an earlier
    /// rotation did not come to its end, finishes that. The old key stays in the ring. Wherever it is stopped, everything
    /// can be read: the ring holds a key before the database uses it.
    ///
    /// # Errors
    /// If the ring or the database cannot be read or written. A ring from the settings gets no key from here, but data
    /// keys are wrapped by the one that is active there.
    pub async fn rotate_keys(&self, by: By) -> Result<Rotation, KeysError> {
        let resumed = self.keys().await?.iter().any(|key| !key.active && key.data_keys > 0);
        if !resumed {
            self.add_key().await?;
        }
        let mut rewrapped = 0;
        loop {
            let by = by.clone();
            match self.writer.write(BATCH as usize, move |group| rewrap(group, &by)).await? {
                0 => break,
                some => rewrapped += some,
            }
        }
        Ok(Rotation { active: self.shared.sealer.ring().active().clone(), rewrapped, resumed })
    }

    async fn add_key(&self) -> Result<(), KeysError> {
        let ring = self.writer.write(1, add_key).await??;
        self.shared.sealer.set_ring(ring);
        Ok(())
    }

    /// Takes a key out of the ring that wraps nothing any more. Backups of the database that were made before need it. It is
    /// on record with the database's forgetting it, before it leaves the ring.
    ///
    /// # Errors
    /// If the ring has no such key, it is the active one, or it wraps data keys; or ring or database cannot be written.
    pub async fn retire_key(&self, id: &KeyId, by: By) -> Result<(), KeysError> {
        let id = id.clone();
        let ring = self.writer.write(1, move |group| retire(group, &id, &by)).await??;
        self.shared.sealer.set_ring(ring);
        Ok(())
    }
}

/// Changes the file of the ring inside the transaction, as [`retire`] does: nobody else changes it meanwhile, in whichever
/// process. A ring that lost another's key would lose all that is sealed with it.
fn add_key(group: &mut Group<'_>) -> Result<Result<KeyRing, KeysError>, Failure> {
    let sealer = group.sealer;
    let added = read_ring(sealer).and_then(|mut ring| {
        ring.add(sealer.clock());
        sealer.source().replace(&ring, sealer.clock())?;
        Ok(ring)
    });
    if let Ok(ring) = &added {
        activate(group.conn, ring, sealer.clock())?;
    }
    Ok(added)
}

fn read_ring(sealer: &Sealer) -> Result<KeyRing, KeysError> {
    let gone = || Error::Unavailable(format!("{} is gone: restore it from its backup", sealer.source()));
    Ok(sealer.source().read()?.ok_or_else(gone)?)
}

fn counts(conn: &Connection) -> Result<Vec<(KeyId, u64)>, Failure> {
    rows(conn, COUNTS, [], |row| Ok((key_id(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs())))
}

/// Wraps some data keys anew; how many. When there is none left, that is on record.
fn rewrap(group: &mut Group<'_>, by: &By) -> Result<u64, Failure> {
    let ring = group.sealer.active_ring(group.conn)?;
    let row = |row: &rusqlite::Row<'_>| Ok((user_id(row, 0)?, wrapped(row, 1)?));
    let old: Vec<(UserId, WrappedKey)> = rows(group.conn, OLD, params![ring.active().as_str(), BATCH], row)?;
    for (user, old) in &old {
        let key = group.sealer.unwrap(user, old)?;
        let new = ring.wrap(user, &key, group.sealer.clock());
        let row = params![user.as_str(), new.ring_key.as_str(), new.bytes];
        group.conn.prepare_cached(REWRAP)?.execute(row)?;
    }
    if old.is_empty() {
        let record = AuditRecord::new(by.clone(), AuditAction::KeysRotated);
        group.audit(&record.object(format!("key:{}", ring.active())))?;
    }
    Ok(old.len() as u64)
}

/// Has the database forget a key, and takes it out of the file of the ring; gives what is left of that.
fn retire(group: &mut Group<'_>, id: &KeyId, by: &By) -> Result<Result<KeyRing, KeysError>, Failure> {
    let ring = match removable(group.sealer, id) {
        Ok(ring) => ring,
        Err(error) => return Ok(Err(error)),
    };
    if group.conn.prepare_cached(RETIRE)?.execute([id.as_str()])? == 0 {
        let counts = counts(group.conn)?;
        let data_keys = counts.iter().find(|(key, _)| key == id).map_or(0, |(_, count)| *count);
        if data_keys > 0 {
            return Ok(Err(KeysError::Wraps { id: id.clone(), data_keys }));
        }
        // Forgotten already: an earlier attempt did not come to the ring.
    }
    let record = AuditRecord::new(by.clone(), AuditAction::KeyRetired);
    group.audit(&record.object(format!("key:{id}")))?;
    let replaced = group.sealer.source().replace(&ring, group.sealer.clock());
    Ok(replaced.map(|()| ring).map_err(KeysError::from))
}

/// The ring without this key.
fn removable(sealer: &Sealer, id: &KeyId) -> Result<KeyRing, KeysError> {
    let mut ring = read_ring(sealer)?;
    ring.remove(id)?;
    match sealer.source() {
        KeySource::Text(_) => Err(KeySourceError::Fixed.into()),
        KeySource::File(_) => Ok(ring),
    }
}
