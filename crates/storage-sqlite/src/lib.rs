//! The SQLite store: one writer with group commit, readers beside it, migrations at start.
//!
//! Everything is in one file, `healthmate.db`, in write-ahead mode and with `synchronous=FULL`: what was answered
//! with `Ok` has been fsynced. Open it with [`SqliteStore::open`]. The schema is in `migrations/`.
//!
//! Writes go to one thread, which writes all that waits in one transaction ([`writer`](self)); reads go to a few
//! others, each with a connection of its own, and see what was committed when they begin.

mod audit;
#[cfg(feature = "bench")]
pub mod baseline;
mod break_glass;
mod codes;
mod credentials;
mod erasure;
mod failure;
mod integrity;
mod keys;
mod migrations;
mod notifications;
mod open;
#[cfg(test)]
mod plans;
mod queries;
mod readers;
mod sealer;
mod threads;
mod trail;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use healthmate_care::audit::{Checkpoint, Link};
use healthmate_care::{AuditEntry, AuditRecord, By, CareRelation, Clock, Role, User};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{Epoch, Offset, Timestamp, Topic, UserId};
use healthmate_storage::seal::KeySource;
use healthmate_storage::{
    AccessLogQuery, AuditTrail, CircleMember, CommitListener, Directory, Error, Event, EventLog, LogRange,
    Manager, MeasurementPage, MeasurementQuery, Measurements, Probe, Recording, new_epoch,
};
use parking_lot::Mutex;

use crate::failure::Failure;
pub use crate::keys::{KeysError, RingKeyStatus, Rotation};
use crate::open::{FolderLock, Opened};
pub use crate::open::{MigrationStatus, OpenError, migration_status, stored_epoch};
use crate::readers::Readers;
use crate::sealer::Sealer;
pub use crate::trail::TrailReader;
use crate::writer::group::Group;
use crate::writer::{Shared, Writer, directory, group, record, retention};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// About how many rows the writer takes into one transaction, 1 or more; 4096 by default. A command is not
    /// split.
    pub max_group_rows: usize,
    /// How many threads read, 1 or more; 2 by default.
    pub readers: usize,
    /// Whether this is the one server of the folder; true by default. A second one is refused with
    /// [`OpenError::InUse`]. False for a command that writes a little beside a running server.
    pub exclusive: bool,
    /// Where the keys are that the database is sealed with; by default the file [`healthmate_storage::seal::KEY_RING_FILE`] in its folder,
    /// which is made with a new database.
    pub keys: Option<KeySource>,
    /// The largest the database may become, in pages of 4 KiB; by default as large as SQLite can.
    #[doc(hidden)]
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_group_rows: 4096, readers: 2, exclusive: true, keys: None, max_pages: None }
    }
}

/// A store in an SQLite file.
///
/// Dropping it finishes what waits, copies the journal into the file, and ends the threads; it waits for that.
pub struct SqliteStore {
    // Dropped in this order: the writer is the last to close the file, and the lock goes after it.
    readers: Readers,
    writer: Writer,
    shared: Arc<Shared>,
    path: PathBuf,
    _lock: Option<FolderLock>,
}

/// It holds health data: `Debug` shows where, and the epoch.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({}, {})", self.path.display(), self.epoch())
    }
}

impl SqliteStore {
    /// Opens the database in `dir`, or makes it, with its folder, and brings it to the newest schema.
    ///
    /// # Errors
    /// If the folder or file cannot be made, read or written, is in use by another server, is newer than this
    /// program, or is damaged or no database of ours. Each error is a sentence that says what to do.
    pub fn open(dir: &Path, options: &Options, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        let Opened { path, writer, lock, sealer } = open::open(dir, options, clock)?;
        let epoch =
            first_epoch(&writer, sealer.clock()).map_err(|error| OpenError::from_sqlite(&path, &error))?;
        let shared = Arc::new(Shared { epoch: Mutex::new(epoch), listener: Mutex::new(None), sealer });
        let readers = Readers::start(&path, options.readers)?;
        let max_group_rows = options.max_group_rows.max(1);
        let writer = Writer::start(&path, writer, Arc::clone(&shared), max_group_rows)?;
        Ok(Arc::new(Self { readers, writer, shared, path, _lock: lock }))
    }

    /// Reads what may be sealed. Where somebody was erased meanwhile, it reads again: what it found of them goes to nobody.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&rusqlite::Connection, &Sealer) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        self.readers.read(move |conn| shared.sealer.undisturbed(conn, &read)).await
    }

    /// Reads the whole database and says what is wrong with it; nothing if all is well. It takes about a second for
    /// each gigabyte, and holds one of the readers.
    ///
    /// # Errors
    /// If the database cannot be read at all.
    pub async fn integrity_check(&self) -> Result<Vec<String>, Error> {
        self.readers.read(integrity::problems).await
    }
}

/// The database's epoch. A new database gets its first one.
fn first_epoch(conn: &rusqlite::Connection, clock: &dyn Clock) -> rusqlite::Result<Epoch> {
    if let Some(epoch) = queries::epoch(conn)? {
        return Ok(epoch);
    }
    // Another process may have been quicker.
    let sql = "INSERT INTO meta (only_row, epoch) VALUES (1, ?1) ON CONFLICT DO NOTHING";
    conn.execute(sql, [new_epoch(clock).as_str()])?;
    queries::epoch(conn)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

#[async_trait]
impl EventLog for SqliteStore {
    fn epoch(&self) -> Epoch {
        self.shared.epoch.lock().clone()
    }

    fn set_commit_listener(&self, listener: CommitListener) {
        *self.shared.listener.lock() = Some(listener);
    }

    async fn range(&self, topic: &Topic) -> Result<LogRange, Error> {
        let topic = topic.clone();
        self.readers.read(move |conn| queries::range(conn, &topic)).await
    }

    async fn read_after(&self, topic: &Topic, after: Offset, limit: u32) -> Result<Vec<Event>, Error> {
        let topic = topic.clone();
        self.read(move |conn, sealer| queries::read_after(conn, sealer, &topic, after, limit)).await
    }

    async fn trim(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        self.writer.write(limit as usize, move |group| retention::trim(group, before, limit)).await
    }

    async fn renew_epoch(&self) -> Result<Epoch, Error> {
        self.writer.write(1, group::renew_epoch).await
    }
}

#[async_trait]
impl Measurements for SqliteStore {
    async fn record(&self, recording: Recording) -> Result<Vec<MeasurementReceipt>, Error> {
        self.writer.write(recording.measurements.len(), move |group| record::record(group, &recording)).await
    }

    async fn measurements(&self, query: MeasurementQuery) -> Result<MeasurementPage, Error> {
        self.read(move |conn, sealer| queries::measurements(conn, sealer, &query)).await
    }

    async fn newest(&self, patient: &UserId) -> Result<Vec<RecordedMeasurement>, Error> {
        let patient = patient.clone();
        self.read(move |conn, sealer| queries::newest(conn, sealer, &patient)).await
    }

    async fn forget_idempotency_keys(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        self.writer
            .write(limit as usize, move |group| retention::forget_idempotency_keys(group, before, limit))
            .await
    }
}

#[async_trait]
impl Directory for SqliteStore {
    async fn add_user(&self, user: User, by: By) -> Result<(), Error> {
        self.writer.write(1, move |group| directory::add_user(group, &user, &by)).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, Error> {
        let id = id.clone();
        self.read(move |conn, sealer| queries::user(conn, sealer, &id)).await
    }

    async fn users(&self) -> Result<Vec<User>, Error> {
        self.read(queries::users).await
    }

    async fn set_active(&self, id: &UserId, active: bool, by: By) -> Result<(), Error> {
        let id = id.clone();
        self.writer.write(1, move |group| directory::set_active(group, &id, active, &by)).await
    }

    async fn set_role(&self, id: &UserId, role: Role, by: By) -> Result<(), Error> {
        let id = id.clone();
        self.writer.write(1, move |group| directory::set_role(group, &id, role, &by)).await
    }

    async fn add_care_relation(&self, relation: CareRelation, by: By) -> Result<(), Error> {
        self.writer.write(1, move |group| directory::add_care_relation(group, &relation, &by)).await
    }

    async fn remove_care_relation(&self, patient: &UserId, member: &UserId, by: By) -> Result<(), Error> {
        let (patient, member) = (patient.clone(), member.clone());
        self.writer
            .write(1, move |group| directory::remove_care_relation(group, &patient, &member, &by))
            .await
    }

    async fn grant_access(&self, relation: CareRelation, manager: Manager, by: By) -> Result<(), Error> {
        let grant = move |group: &mut Group<'_>| {
            directory::still_manages(group, &relation.patient, &manager)?;
            directory::add_care_relation(group, &relation, &by)
        };
        self.writer.write(1, grant).await
    }

    async fn end_access(
        &self,
        patient: &UserId,
        member: &UserId,
        manager: Manager,
        by: By,
    ) -> Result<(), Error> {
        let (patient, member) = (patient.clone(), member.clone());
        let end = move |group: &mut Group<'_>| {
            directory::still_manages(group, &patient, &manager)?;
            directory::remove_care_relation(group, &patient, &member, &by)
        };
        self.writer.write(1, end).await
    }

    async fn care_relation(&self, patient: &UserId, member: &UserId) -> Result<Option<CareRelation>, Error> {
        let (patient, member) = (patient.clone(), member.clone());
        self.readers.read(move |conn| queries::care_relation(conn, &patient, &member)).await
    }

    async fn care_team(&self, patient: &UserId) -> Result<Vec<CareRelation>, Error> {
        let patient = patient.clone();
        self.readers.read(move |conn| queries::care_team(conn, &patient)).await
    }

    async fn circle(&self, patient: &UserId) -> Result<Vec<CircleMember>, Error> {
        let patient = patient.clone();
        self.read(move |conn, sealer| queries::circle(conn, sealer, &patient)).await
    }

    async fn patients_of(&self, member: &UserId) -> Result<Vec<CareRelation>, Error> {
        let member = member.clone();
        self.readers.read(move |conn| queries::patients_of(conn, &member)).await
    }

    async fn directory_version(&self) -> Result<u64, Error> {
        let version = self.readers.read(queries::directory_version).await?;
        self.shared.sealer.directory_is_at(version);
        Ok(version)
    }
}

#[async_trait]
impl AuditTrail for SqliteStore {
    async fn audit(&self, records: Vec<AuditRecord>) -> Result<(), Error> {
        self.writer.write(records.len(), move |group| group::audit(group, &records)).await
    }

    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, Error> {
        self.readers.read(move |conn| audit::audit_after(conn, seq, limit)).await
    }

    async fn access_log(&self, query: AccessLogQuery) -> Result<Vec<AuditEntry>, Error> {
        self.readers.read(move |conn| audit::access_log(conn, &query)).await
    }

    async fn audit_head(&self) -> Result<Option<(u64, Link)>, Error> {
        self.readers.read(audit::audit_head).await
    }

    async fn add_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Error> {
        self.writer.write(1, move |group| writer::audit::add_checkpoint(group, &checkpoint)).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        self.readers.read(audit::last_checkpoint).await
    }
}

#[async_trait]
impl Probe for SqliteStore {
    async fn check_writable(&self) -> Result<(), Error> {
        self.writer.probe().await
    }
}
