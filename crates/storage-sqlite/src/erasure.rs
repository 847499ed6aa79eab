//! Erasing a patient, from the store's side: what each transaction does is in `writer/erasure.rs`.

use std::path::PathBuf;

use async_trait::async_trait;
use healthmate_care::By;
use healthmate_protocol::UserId;
use healthmate_storage::{Erased, Erasure, Error};
use rusqlite::Connection;

use crate::failure::{Failure, storage_error};
use crate::writer::erasure::{self, BATCH};
use crate::{SqliteStore, threads};

#[async_trait]
impl Erasure for SqliteStore {
    async fn erase(&self, patient: &UserId, by: By) -> Result<Erased, Error> {
        let id = patient.clone();
        let (erased, key) = self.writer.write(64, move |group| erasure::begin(group, &id, &by)).await?;
        loop {
            let id = patient.clone();
            let rows =
                self.writer.write(BATCH as usize, move |group| erasure::go_on(group, key, &id)).await?;
            if rows == 0 {
                break;
            }
        }
        self.empty_journal().await?;
        Ok(erased)
    }
}

impl SqliteStore {
    /// Copies the journal into the database and empties it: what was overwritten there is still in it.
    async fn empty_journal(&self) -> Result<(), Error> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let path = self.path.clone();
        let work = move || {
            // Whoever asked may be gone.
            let _ = answer.send(checkpoint(&path).map_err(|error| storage_error(Failure::Sqlite(error))));
        };
        let stopped = |problem: String| Error::Unavailable(problem);
        threads::spawn("db-checkpoint", &self.path, work).map_err(|error| stopped(error.to_string()))?;
        if !answered.await.map_err(|error| stopped(error.to_string()))?? {
            tracing::warn!(
                "readers held the journal: it is emptied with a later erasure, or at the next stop"
            );
        }
        Ok(())
    }
}

/// Whether the journal is empty.
fn checkpoint(path: &PathBuf) -> rusqlite::Result<bool> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}
