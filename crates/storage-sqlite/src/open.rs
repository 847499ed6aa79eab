//! Opening the data folder: whose it is, whether it can be written, and which schema it has.

mod error;
pub(crate) mod keys;
mod lock;
mod sealing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use healthmate_care::Clock;
use healthmate_protocol::Epoch;
use rusqlite::{Connection, OpenFlags};

pub use error::OpenError;
pub(crate) use lock::FolderLock;

use crate::sealer::Sealer;
use crate::{Options, migrations, queries};

/// The database's file name in the data folder.
pub(crate) const DATABASE: &str = "healthmate.db";

/// Up to this many bytes, a database is read through before it is served, also after a clean stop: a failing disk,
/// a bad copy or a restored half of a backup damages a file that nobody has open, and SQLite notices only where it
/// happens to look, after much has been answered and written. It costs about a second for each gigabyte, so a
/// larger file is left to `integrity_check`.
const QUICK_CHECK_MAX_BYTES: u64 = 1 << 30;

/// How long a statement waits for another process's transaction, in milliseconds.
const BUSY_TIMEOUT_MS: u32 = 5000;

/// A database that is ready: checked, migrated, and locked if it was opened to serve.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) writer: Connection,
    pub(crate) lock: Option<FolderLock>,
    pub(crate) sealer: Sealer,
}

/// Opens the database in `dir`, making both where they are missing.
pub(crate) fn open(dir: &Path, options: &Options, clock: Arc<dyn Clock>) -> Result<Opened, OpenError> {
    make_folder(dir)?;
    let path = dir.join(DATABASE);
    let mut lock = if options.exclusive { Some(FolderLock::take(dir)?) } else { None };
    let size = fs::metadata(&path).map_or(0, |file| file.len());
    let failed = |error| OpenError::from_sqlite(&path, &error);
    let mut writer = connect(&path)?;
    configure(&writer, options).map_err(failed)?;
    // A command beside the server leaves it to the server, which did it when it started.
    if lock.is_some() && size <= QUICK_CHECK_MAX_BYTES {
        quick_check(&path, &writer)?;
    }
    let found = migrations::version(&writer).map_err(failed)?;
    let known = i32::try_from(migrations::ALL.len()).unwrap_or(i32::MAX);
    if found > known {
        return Err(OpenError::Newer { file: path, found, known });
    }
    let is_ready = found == known && sealing::is_done(&writer).map_err(failed)?;
    if !is_ready && lock.is_none() {
        // Nobody may be serving the old schema meanwhile.
        lock = Some(FolderLock::take(dir)?);
    }
    migrations::apply(&mut writer, migrations::ALL).map_err(failed)?;
    let sealer = keys::sealer(dir, options.keys.as_ref(), &mut writer, clock)?;
    if !sealing::is_done(&writer).map_err(failed)? {
        let unsealed = sealing::run(&mut writer, &sealer);
        unsealed.map_err(|failure| OpenError::from_failure(&path, failure))?;
    }
    let lock = lock.filter(|_| options.exclusive);
    Ok(Opened { path, writer, lock, sealer })
}

/// Makes the folder, for its owner only: it holds health data.
fn make_folder(dir: &Path) -> Result<(), OpenError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|source| OpenError::Folder { folder: dir.to_owned(), source })
}

/// Makes a new database file that only its owner can read, also in a folder that others may enter; SQLite gives its
/// journal the same rights. If it cannot be made, SQLite says why in a moment.
fn make_private(path: &Path) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// Opens the file to be written and says why it cannot be, if it cannot.
fn connect(path: &Path) -> Result<Connection, OpenError> {
    if path.is_dir() {
        return Err(OpenError::NotADatabase { file: path.to_owned() });
    }
    make_private(path);
    let failed = |error| OpenError::from_sqlite(path, &error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS.into())).map_err(failed)?;
    // SQLite falls back to reading only, and would say so at the first write.
    if conn.is_readonly("main").map_err(failed)? {
        return Err(OpenError::ReadOnly { file: path.to_owned() });
    }
    if !migrations::is_ours(&conn).map_err(failed)? {
        return Err(OpenError::NotOurs { file: path.to_owned() });
    }
    Ok(conn)
}

/// What every writing connection needs; the benchmark's raw one uses the same.
pub(crate) fn configure(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // What is deleted or sealed is gone from the file, too.
    conn.pragma_update(None, "secure_delete", true)?;
    // Half-written statements are kept in memory, not in a file that could fill the disk further.
    conn.pragma_update(None, "temp_store", "memory")?;
    // KiB: it fills with whatever is written, the audit trail above all, and never shrinks; a page that is not in it is
    // mostly in the system's memory, microseconds away. Ingest was as fast with 4 MiB as with 16.
    conn.pragma_update(None, "cache_size", -4 * 1024)?;
    // Pages: the journal is copied back each 16 MiB, so that its fsyncs are few.
    conn.pragma_update(None, "wal_autocheckpoint", 4096)?;
    conn.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    conn.set_prepared_statement_cache_capacity(64);
    if let Some(pages) = options.max_pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// A connection that only reads, for one of the reader threads.
pub(crate) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS.into()))?;
    conn.pragma_update(None, "query_only", true)?;
    // KiB, each reader: what is read is mostly read once, and what everybody asks for is in memory elsewhere.
    conn.pragma_update(None, "cache_size", -1024)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// Reads the database through. SQLite tells of all problems at once, on a line each: the first one is enough.
fn quick_check(path: &Path, conn: &Connection) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_sqlite(path, &error);
    let told: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(failed)?;
    if told == "ok" {
        return Ok(());
    }
    let problem = told.lines().find(|line| !line.starts_with("***")).unwrap_or(&told).to_owned();
    Err(OpenError::Damaged { file: path.to_owned(), problem })
}

/// One step of the schema, and whether the database has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number, from 1.
    pub version: u32,
    /// What it brings.
    pub name: &'static str,
    /// Whether the database has it.
    pub applied: bool,
}

/// Every step of the schema and whether the database in `dir` has taken it; changes nothing, and makes nothing
/// where there is no database.
///
/// # Errors
/// If there is a database that cannot be read, is not ours, or is newer than this program.
pub fn migration_status(dir: &Path) -> Result<Vec<MigrationStatus>, OpenError> {
    let path = dir.join(DATABASE);
    let found = if path.try_exists().unwrap_or(true) { version_of(&path)? } else { 0 };
    let known = i32::try_from(migrations::ALL.len()).unwrap_or(i32::MAX);
    if found > known {
        return Err(OpenError::Newer { file: path, found, known });
    }
    let steps = (1_u32..).zip(migrations::ALL);
    Ok(steps
        .map(|(version, step)| MigrationStatus {
            version,
            name: step.name,
            applied: i64::from(version) <= found.into(),
        })
        .collect())
}

fn version_of(path: &Path) -> Result<i32, OpenError> {
    if path.is_dir() {
        return Err(OpenError::NotADatabase { file: path.to_owned() });
    }
    let failed = |error| OpenError::from_sqlite(path, &error);
    let conn = connect_to_look(path).map_err(failed)?;
    if !migrations::is_ours(&conn).map_err(failed)? {
        return Err(OpenError::NotOurs { file: path.to_owned() });
    }
    migrations::version(&conn).map_err(failed)
}

/// The epoch of the database in `dir`, if there is one that has it; changes nothing.
///
/// # Errors
/// If there is a database that cannot be read.
pub fn stored_epoch(dir: &Path) -> Result<Option<Epoch>, OpenError> {
    if migration_status(dir)?.iter().any(|step| !step.applied) {
        return Ok(None);
    }
    let path = dir.join(DATABASE);
    let read = || queries::epoch(&connect_to_look(&path)?);
    read().map_err(|error| OpenError::from_sqlite(&path, &error))
}

/// A connection that reads, also in a folder where nothing can be written: SQLite reads a journal with the help of a
/// file that it makes beside it, unless it is told that nobody writes. There, and without a journal, nobody does.
pub(crate) fn connect_to_look(path: &Path) -> rusqlite::Result<Connection> {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    let usual = connect_reader(path).and_then(|conn| migrations::version(&conn).map(|_| conn));
    let unwritable = |error: &rusqlite::Error| {
        error.sqlite_error_code().is_some_and(|code| matches!(code, CannotOpen | ReadOnly))
    };
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    let journal_bytes = fs::metadata(journal).map_or(0, |file| file.len());
    if journal_bytes > 0 || !usual.as_ref().is_err_and(unwritable) {
        return usual;
    }
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
}
