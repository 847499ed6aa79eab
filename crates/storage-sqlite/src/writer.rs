//! The one thread that writes, and its group commit: what waits is written in one transaction, with one fsync.

pub(crate) mod audit;
pub(crate) mod break_glass;
pub(crate) mod cache;
pub(crate) mod credentials;
pub(crate) mod devices;
pub(crate) mod directory;
pub(crate) mod erasure;
pub(crate) mod group;
pub(crate) mod notifications;
pub(crate) mod record;
pub(crate) mod retention;
mod room;
pub(crate) mod sign_ins;
#[cfg(test)]
pub(crate) mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use healthmate_protocol::Epoch;
use healthmate_storage::{CommitListener, Error, Event};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::failure::{Failure, is_full, is_local, refused_late, storage_error};
use crate::open::OpenError;
use crate::sealer::Sealer;
use crate::threads;
use crate::writer::cache::Cache;
use crate::writer::group::{Group, Written};

/// How many commands may wait for the writer; further callers wait for a place.
const QUEUE: usize = 1024;

/// How often, and how long each time, the writer waits for others before it writes a smaller group than the last
/// one.
const GATHER_ROUNDS: usize = 5;
const GATHER_ROUND: Duration = Duration::from_micros(50);

/// What the writer shares with those who hold the store.
pub(crate) struct Shared {
    /// The epoch on disk.
    pub(crate) epoch: Mutex<Epoch>,
    pub(crate) listener: Mutex<Option<CommitListener>>,
    pub(crate) sealer: Sealer,
}

/// The queue to the writing thread.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Command>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        path: &Path,
        conn: Connection,
        shared: Arc<Shared>,
        max_group_rows: usize,
    ) -> Result<Self, OpenError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let cache = Cache::default();
        let mut work = Work { conn, cache, shared, max_group_rows, was_full: false };
        let thread = threads::spawn("db-writer", path, move || work.run(waiting))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Has `apply` run in a group, and waits until the group is on disk. `rows` is about how many rows it writes.
    /// `apply` may run twice, in a new transaction the second time.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        rows: usize,
        apply: impl FnMut(&mut Group<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let command = Asked { rows, is_probe: false, apply, outcome: None, answer };
        self.ask(command, answered).await
    }

    /// Commits something of no consequence: after the disk was full, something that needs real room.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let command = Asked { rows: 1, is_probe: true, apply: group::probe, outcome: None, answer };
        self.ask(command, answered).await
    }

    async fn ask<T>(
        &self,
        command: impl Command + 'static,
        answered: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        let stopped = || Error::Unavailable("the writer has stopped".to_owned());
        let command = Box::new(command);
        self.queue.as_ref().ok_or_else(stopped)?.send(command).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

/// Finishes what waits. The connection is closed with the thread, which copies the journal back.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        threads::join(self.thread.take());
    }
}

/// Something to write.
trait Command: Send {
    /// About how many rows it writes.
    fn rows(&self) -> usize;

    /// Whether it asks if there is room, and writes nothing that anybody reads.
    fn is_probe(&self) -> bool;

    /// Writes, and keeps the outcome. A refusal is an outcome; an error has to be undone: one of SQLite, or a refusal that
    /// came after a change.
    fn apply(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()>;

    /// Makes an error the outcome.
    fn fail(&mut self, error: Error);

    /// Tells the caller the outcome.
    fn answer(self: Box<Self>);
}

struct Asked<F, T> {
    rows: usize,
    is_probe: bool,
    apply: F,
    outcome: Option<Result<T, Error>>,
    answer: oneshot::Sender<Result<T, Error>>,
}

impl<F, T> Command for Asked<F, T>
where
    F: FnMut(&mut Group<'_>) -> Result<T, Failure> + Send,
    T: Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn is_probe(&self) -> bool {
        self.is_probe
    }

    fn apply(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()> {
        let before = group.conn.total_changes();
        // A command that panics is undone like one that SQLite refuses, and the thread writes on for the others.
        let applied = catch_unwind(AssertUnwindSafe(|| (self.apply)(group))).unwrap_or_else(|_| {
            tracing::error!("a command panicked");
            Err(refused_late(Error::Unavailable("the write ended without an answer".to_owned())).into())
        });
        self.outcome = Some(match applied {
            Ok(done) => Ok(done),
            Err(Failure::Refused(error)) if group.conn.total_changes() != before => {
                return Err(refused_late(error));
            }
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Sqlite(error)) => return Err(error),
        });
        Ok(())
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // Whoever asked may be gone.
            let _ = self.answer.send(outcome);
        }
    }
}

/// Whether each command is written under a savepoint of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    /// No: quick, and an SQL error undoes the group.
    None,
    /// Yes: an SQL error of a command undoes that command.
    Each,
}

/// What the writing thread owns.
struct Work {
    conn: Connection,
    cache: Cache,
    shared: Arc<Shared>,
    max_group_rows: usize,
    /// Whether a group found the disk full, and no probe has found room since. A small write that succeeds does not
    /// change it: it may have fitted into a page that was not full.
    was_full: bool,
}

impl Work {
    fn run(&mut self, mut waiting: mpsc::Receiver<Box<dyn Command>>) {
        let mut last = 0;
        while let Some(first) = waiting.blocking_recv() {
            gather(&waiting, last);
            let mut rows = first.rows();
            let mut commands = vec![first];
            while rows < self.max_group_rows
                && let Ok(next) = waiting.try_recv()
            {
                rows += next.rows();
                commands.push(next);
            }
            last = commands.len();
            if self.was_full {
                // A probe for real room may fail where a small command fits: it must not take others with it.
                let (probes, others) = commands.into_iter().partition(|command| command.is_probe());
                self.write(others);
                self.probe_room(probes);
            } else {
                self.write(commands);
            }
        }
    }

    /// Answers probes after the disk was full.
    fn probe_room(&mut self, mut probes: Vec<Box<dyn Command>>) {
        if probes.is_empty() {
            return;
        }
        match room::probe(&self.conn) {
            Ok(()) => {
                tracing::info!("there is room on the disk again");
                self.was_full = false;
                self.write(probes);
            }
            Err(error) => {
                fail(&mut probes, error);
                probes.into_iter().for_each(Command::answer);
            }
        }
    }

    /// Commit, then answer, then tell.
    fn write(&mut self, mut commands: Vec<Box<dyn Command>>) {
        if commands.is_empty() {
            return;
        }
        let committed = match self.attempt(&mut commands, Savepoints::None) {
            // Refusals come before the first change, so that hardly any group is written twice.
            Err(error) if is_local(&error) => self.attempt(&mut commands, Savepoints::Each),
            other => other,
        };
        let events = committed.unwrap_or_else(|error| {
            tracing::error!(%error, commands = commands.len(), "a group could not be committed");
            self.was_full |= is_full(&error);
            fail(&mut commands, error);
            Vec::new()
        });
        commands.into_iter().for_each(Command::answer);
        self.tell(&events);
    }

    /// One transaction: all of the group is on disk, or nothing of it and nothing is remembered of it.
    fn attempt(
        &mut self,
        commands: &mut [Box<dyn Command>],
        savepoints: Savepoints,
    ) -> rusqlite::Result<Vec<Event>> {
        let written = self.transaction(commands, savepoints);
        match written {
            Ok(written) => {
                if let Some(epoch) = written.epoch {
                    *self.shared.epoch.lock() = epoch;
                }
                self.cache.committed(written.heads, written.trail);
                Ok(written.events)
            }
            Err(error) => {
                self.cache.clear();
                self.shared.sealer.forget();
                // A full disk has SQLite roll back by itself.
                if !self.conn.is_autocommit()
                    && let Err(error) = self.conn.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a transaction could not be rolled back");
                }
                Err(error)
            }
        }
    }

    fn transaction(
        &mut self,
        commands: &mut [Box<dyn Command>],
        savepoints: Savepoints,
    ) -> rusqlite::Result<Written> {
        execute(&self.conn, "BEGIN IMMEDIATE")?;
        self.cache.check(&self.conn)?;
        let mut group = Group::new(&self.conn, &mut self.cache, &self.shared.sealer);
        for command in commands {
            match savepoints {
                Savepoints::None => command.apply(&mut group)?,
                Savepoints::Each => apply_apart(&self.conn, command.as_mut(), &mut group)?,
            }
        }
        let written = group.finish()?;
        execute(&self.conn, "COMMIT")?;
        Ok(written)
    }

    /// A listener that panics is its own loss, not the store's.
    fn tell(&self, events: &[Event]) {
        let listener = self.shared.listener.lock().clone();
        if let Some(listener) = listener
            && !events.is_empty()
            && catch_unwind(AssertUnwindSafe(|| listener(events))).is_err()
        {
            tracing::error!(events = events.len(), "the commit listener panicked");
        }
    }
}

/// Makes an error of SQLite the outcome of every command.
fn fail(commands: &mut [Box<dyn Command>], error: rusqlite::Error) {
    let error = storage_error(Failure::Sqlite(error));
    for command in commands {
        command.fail(error.clone());
    }
}

/// Gives those who were answered with the last group the time to send again, less than an fsync takes. Without it
/// the first to come would be a group alone, and all others the next one. A lone sender is never waited for.
fn gather(waiting: &mpsc::Receiver<Box<dyn Command>>, last: usize) {
    for _ in 0..GATHER_ROUNDS {
        if waiting.len() + 1 >= last {
            break;
        }
        std::thread::park_timeout(GATHER_ROUND);
    }
}

/// Applies a command so that an error of its own undoes and fails only it.
fn apply_apart(conn: &Connection, command: &mut dyn Command, group: &mut Group<'_>) -> rusqlite::Result<()> {
    execute(conn, "SAVEPOINT command")?;
    let mark = group.mark();
    if let Err(error) = command.apply(group) {
        if !is_local(&error) {
            return Err(error);
        }
        tracing::error!(%error, "a command could not be written");
        execute(conn, "ROLLBACK TO command")?;
        group.back_to(mark);
        command.fail(storage_error(Failure::Sqlite(error)));
    }
    execute(conn, "RELEASE command")
}

fn execute(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(|_| ())
}
