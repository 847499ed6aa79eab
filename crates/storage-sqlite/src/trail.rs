//! The audit trail of a database that somebody looks at: of a server that runs, or of a copy.

use std::fmt;
use std::path::{Path, PathBuf};

use healthmate_care::audit::{Checkpoint, FoundEntry};
use rusqlite::{Connection, params};

use crate::audit::{self, CHECKPOINTS};
use crate::open::{self, DATABASE, OpenError};

const FROM: &str = "SELECT seq, at, actor, user, role, address, break_glass, action, object, patient, reason,
        outcome, link
    FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const LEFT_OUT: &str = "SELECT min(seq) FROM audit AS a
    WHERE patient IS NOT NULL AND seq <= (SELECT max(upto) FROM audit_run) AND NOT EXISTS
        (SELECT 1 FROM audit_in_run AS f WHERE f.patient = a.patient AND f.seq = a.seq
            AND f.run = (SELECT min(upto) FROM audit_run WHERE upto >= a.seq))";

/// Reads the trail as it stands, also where it was tampered with, and changes nothing.
pub struct TrailReader {
    conn: Connection,
    path: PathBuf,
}

impl fmt::Debug for TrailReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrailReader({})", self.path.display())
    }
}

impl TrailReader {
    /// The trail of the database in `dir`.
    ///
    /// # Errors
    /// If there is no database that can be read.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(DATABASE);
        let conn = open::connect_to_look(&path).map_err(|error| OpenError::from_sqlite(&path, &error))?;
        Ok(Self { conn, path })
    }

    /// The rows whose numbers are greater than `seq`, in order, at most `limit`; from the first one after `i64::MIN`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn after(&self, seq: i64, limit: u32) -> Result<Vec<FoundEntry>, OpenError> {
        let read = || {
            let mut statement = self.conn.prepare_cached(FROM)?;
            let rows = statement.query_map(params![seq, limit], |row| {
                Ok(FoundEntry { seq: row.get(0)?, entry: audit::entry(row).ok() })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| OpenError::from_sqlite(&self.path, &error))
    }

    /// The checkpoints that are kept beside the trail.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, OpenError> {
        let read = || {
            let mut statement = self.conn.prepare_cached(CHECKPOINTS)?;
            let rows = statement.query_map([], audit::checkpoint)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| OpenError::from_sqlite(&self.path, &error))
    }

    /// The first record that should be filed under its patient, and is not: the patient's access log leaves it out. In a
    /// database of before there were runs, nothing is filed as this looks for it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn left_out(&self) -> Result<Option<i64>, OpenError> {
        let read = || {
            if !self.conn.table_exists(None, "audit_run")? {
                return Ok(None);
            }
            self.conn.query_row(LEFT_OUT, [], |row| row.get(0))
        };
        read().map_err(|error| OpenError::from_sqlite(&self.path, &error))
    }
}
