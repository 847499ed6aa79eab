//! The threads that read: each has a connection that cannot write, and sees what was committed when it began.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use healthmate_storage::Error;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::failure::{Failure, storage_error};
use crate::open::{OpenError, connect_reader};
use crate::threads;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// A pool of reading threads, which take jobs in the order they come.
pub(crate) struct Readers {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(path: &Path, count: usize) -> Result<Self, OpenError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self { jobs: Some(jobs), threads: Vec::with_capacity(count) };
        for n in 0..count.max(1) {
            let conn = connect_reader(path).map_err(|error| OpenError::from_sqlite(path, &error))?;
            let waiting = Arc::clone(&waiting);
            let work = move || {
                while let Some(job) = next(&waiting) {
                    // Whoever asked is told by the answer that never comes; the thread serves the others.
                    if catch_unwind(AssertUnwindSafe(|| job(&conn))).is_err() {
                        tracing::error!("a read panicked");
                    }
                }
            };
            readers.threads.push(threads::spawn(&format!("db-reader-{n}"), path, work)?);
        }
        Ok(readers)
    }

    /// Runs `read` on one of the threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::Unavailable("the readers have stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            // Whoever asked may be gone.
            let _ = answer.send(read(conn).map_err(storage_error));
        });
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())?;
        answered.await.map_err(|_| Error::Unavailable("the read ended without an answer".to_owned()))?
    }
}

/// The lock is held while one thread waits, and the others wait for the lock.
fn next(waiting: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Finishes the jobs that wait.
impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs = None;
        threads::join(self.threads.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_is_answered_and_the_next_one_works() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("some.db");
        Connection::open(&path).expect("a database").execute_batch("CREATE TABLE t (x)").expect("a table");
        let readers = Readers::start(&path, 1).expect("readers");
        let panicked: Result<(), Error> = readers.read(|_| panic!("as it must")).await;
        assert!(matches!(panicked, Err(Error::Unavailable(_))), "{panicked:?}");
        let count = readers.read(|conn| Ok(conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?));
        assert_eq!(count.await, Ok(0));
    }
}
