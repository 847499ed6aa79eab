//! Sealing and opening what rows hold: the ring in memory, and the data keys used lately.

use std::collections::HashMap;
use std::sync::Arc;

use healthmate_care::Clock;
use healthmate_protocol::UserId;
use healthmate_storage::Error;
use healthmate_storage::seal::{DataKey, KeyId, KeyRing, KeySource, SealError, SealedColumn, WrappedKey};
use parking_lot::Mutex;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::queries::{erasures, unreadable};

#[cfg(test)]
mod tests;

pub(crate) const DATA_KEY: &str = "SELECT version, ring_key, wrapped FROM data_key
    WHERE user = (SELECT key FROM user WHERE id = ?1)";
const ADD_DATA_KEY: &str = "INSERT INTO data_key (user, version, ring_key, wrapped)
    VALUES ((SELECT key FROM user WHERE id = ?1), ?2, ?3, ?4)";
pub(crate) const ACTIVE: &str = "SELECT id FROM ring_key WHERE active = 1";

/// How many data keys are kept unwrapped, some 300 bytes each; past it, all are forgotten and unwrapped again as they
/// come, which takes microseconds.
const MAX_KEPT: usize = 1_000;

/// What seals and opens, shared by the writer and the readers.
pub(crate) struct Sealer {
    source: KeySource,
    clock: Arc<dyn Clock>,
    ring: Mutex<Arc<KeyRing>>,
    kept: Mutex<Kept>,
}

/// What is remembered spares the unwrapping, and opens nothing: whether a user has the key is asked of the database each
/// time, in the transaction of whoever seals or opens.
#[derive(Default)]
struct Kept {
    keys: HashMap<UserId, (WrappedKey, Arc<DataKey>)>,
    /// The directory's version when they were last found to be good: erasing a patient changes it.
    directory_version: u64,
}

impl Sealer {
    pub(crate) fn new(source: KeySource, ring: KeyRing, clock: Arc<dyn Clock>) -> Self {
        Self { source, clock, ring: Mutex::new(Arc::new(ring)), kept: Mutex::default() }
    }

    pub(crate) fn source(&self) -> &KeySource {
        &self.source
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.lock())
    }

    pub(crate) fn set_ring(&self, ring: KeyRing) {
        *self.ring.lock() = Arc::new(ring);
    }

    /// Forgets all data keys: what was read may have been rolled back, or destroyed.
    pub(crate) fn forget(&self) {
        self.kept.lock().keys.clear();
    }

    /// Forgets all data keys if the directory has changed.
    pub(crate) fn directory_is_at(&self, version: u64) {
        let mut kept = self.kept.lock();
        if kept.directory_version != version {
            kept.keys.clear();
            kept.directory_version = version;
        }
    }

    /// Reads with `read`, and again if somebody was erased meanwhile: what a transaction from before found of them is not
    /// handed out, and their keys are not kept in memory. Erasures are few, so that this comes to an end.
    pub(crate) fn undisturbed<T>(
        &self,
        conn: &Connection,
        read: impl Fn(&Connection, &Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut before = erasures(conn)?;
        loop {
            let found = read(conn, self);
            let after = erasures(conn)?;
            if before == after {
                return found;
            }
            self.forget();
            before = after;
        }
    }

    /// Seals `text` of a user who has a data key: every user does who was added and not erased.
    pub(crate) fn seal(
        &self,
        conn: &Connection,
        owner: &UserId,
        column: SealedColumn,
        row: &[u8],
        text: &str,
    ) -> Result<Vec<u8>, Failure> {
        let key = self.data_key(conn, owner)?.ok_or(Error::NotFound("user"))?;
        Ok(key.seal(owner, column, row, text.as_bytes(), self.clock()))
    }

    /// Opens what was sealed for this place; for the row of a query. What is not there (`NULL`) is not there.
    ///
    /// # Errors
    /// If it does not open, or the owner has no key any more.
    pub(crate) fn open(
        &self,
        conn: &Connection,
        owner: &UserId,
        column: SealedColumn,
        row: &[u8],
        sealed: &[u8],
    ) -> rusqlite::Result<String> {
        let refused = |error: SealError| unreadable(0, Type::Blob, error);
        let key = self.data_key(conn, owner).map_err(|failure| match failure {
            Failure::Sqlite(error) => error,
            Failure::Refused(error) => unreadable(0, Type::Blob, error),
        })?;
        key.ok_or(SealError::Refused)
            .and_then(|key| key.open_text(owner, column, row, sealed))
            .map_err(refused)
    }

    /// A new data key, to be stored with [`Self::store_key`] in the same transaction.
    pub(crate) fn new_key(&self) -> DataKey {
        DataKey::new(1, self.clock())
    }

    /// Wraps the data key of a user who has none yet, and stores it.
    pub(crate) fn store_key(&self, conn: &Connection, owner: &UserId, key: &DataKey) -> Result<(), Failure> {
        let wrapped = self.active_ring(conn)?.wrap(owner, key, self.clock());
        let row = params![owner.as_str(), wrapped.version, wrapped.ring_key.as_str(), wrapped.bytes];
        conn.prepare_cached(ADD_DATA_KEY)?.execute(row)?;
        Ok(())
    }

    /// The ring with the key that the database has as the active one: after a rotation by another process, the file is
    /// read again. Asked inside the transaction that wraps, so that no key is used that is being retired.
    pub(crate) fn active_ring(&self, conn: &Connection) -> Result<Arc<KeyRing>, Failure> {
        let active: String = conn.prepare_cached(ACTIVE)?.query_row([], |row| row.get(0))?;
        let ring = self.ring();
        if ring.active().as_str() == active {
            return Ok(ring);
        }
        let ring = self.reload()?;
        if ring.active().as_str() == active {
            return Ok(ring);
        }
        let problem =
            format!("{} does not have {active} as its active key: start the server again", self.source);
        Err(Error::Unavailable(problem).into())
    }

    fn data_key(&self, conn: &Connection, owner: &UserId) -> Result<Option<Arc<DataKey>>, Failure> {
        let found = conn.prepare_cached(DATA_KEY)?.query_row([owner.as_str()], |row| wrapped(row, 0));
        let Some(wrapped) = found.optional()? else {
            self.kept.lock().keys.remove(owner);
            return Ok(None);
        };
        if let Some((known, key)) = self.kept.lock().keys.get(owner)
            && *known == wrapped
        {
            return Ok(Some(Arc::clone(key)));
        }
        let key = Arc::new(self.unwrap(owner, &wrapped)?);
        let mut kept = self.kept.lock();
        if kept.keys.len() >= MAX_KEPT {
            kept.keys.clear();
        }
        kept.keys.insert(owner.clone(), (wrapped, Arc::clone(&key)));
        Ok(Some(key))
    }

    /// Unwraps a data key; where another process has rotated the ring, the file is read again.
    pub(crate) fn unwrap(&self, owner: &UserId, wrapped: &WrappedKey) -> Result<DataKey, Failure> {
        let mut unwrapped = self.ring().unwrap(owner, wrapped);
        if let Err(SealError::NoRingKey(_)) = unwrapped {
            unwrapped = self.reload()?.unwrap(owner, wrapped);
        }
        unwrapped.map_err(|error| Error::Unavailable(error.to_string()).into())
    }

    fn reload(&self) -> Result<Arc<KeyRing>, Failure> {
        let read = self.source.read().map_err(|error| Error::Unavailable(error.to_string()))?;
        let gone = || Error::Unavailable(format!("{} is gone: restore it from its backup", self.source));
        self.set_ring(read.ok_or_else(gone)?);
        tracing::info!("the key ring was read again");
        Ok(self.ring())
    }
}

/// A wrapped data key, its version in the column `first`.
pub(crate) fn wrapped(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<WrappedKey> {
    Ok(WrappedKey { version: row.get(first)?, ring_key: key_id(row, first + 1)?, bytes: row.get(first + 2)? })
}

pub(crate) fn key_id(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<KeyId> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: healthmate_storage::seal::RingError| unreadable(column, Type::Text, error))
}
