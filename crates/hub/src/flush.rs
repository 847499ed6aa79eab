//! Writing what waits, a few connections at a time.

use std::io;

use crate::hub::{ConnectionKey, Hub};
use crate::outbox::Progress;

/// What became of one connection's outbox.
#[derive(Debug)]
pub enum Flushed {
    /// All is written.
    Done,
    /// All is written, and newest values were held back meanwhile: call [`Hub::release`].
    Holding,
    /// The socket takes no more: call [`Hub::writable`] when it does.
    Blocked,
    /// The close frame is written: the connection is over.
    Closed,
    /// The transport failed.
    Failed(io::Error),
}

impl Hub {
    /// Whether a connection waits to be flushed.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Flushes the connection that has waited longest, with one write where one is enough, and says what became of
    /// it; `None` if none waits.
    pub fn flush(
        &mut self,
        scratch: &mut Vec<u8>,
        mut write: impl FnMut(ConnectionKey, &[u8]) -> io::Result<usize>,
    ) -> Option<(ConnectionKey, Flushed)> {
        loop {
            let connection = self.dirty.pop_front()?;
            let Some(reader) = self.readers.get_mut(connection) else {
                continue;
            };
            let before = reader.outbox.bytes();
            let result = reader.outbox.flush(scratch, |bytes| write(connection, bytes));
            self.traffic.queued_bytes -= (before - reader.outbox.bytes()) as u64;
            // A blocked connection stays marked, so that nobody queues it before its socket takes more.
            reader.blocked = matches!(result, Ok(Progress::Blocked));
            reader.dirty = reader.blocked;
            let holding = reader.newest.as_ref().is_some_and(|newest| newest.is_releasable());
            let behind = reader.behind > 0;
            let reader = &self.readers[connection];
            if behind && reader.has_room(self.budget_bytes) {
                self.queue_reads(connection);
            }
            let flushed = match result {
                Ok(Progress::Empty) if holding => Flushed::Holding,
                Ok(Progress::Empty) => Flushed::Done,
                Ok(Progress::Blocked) => Flushed::Blocked,
                Ok(Progress::Closed) => Flushed::Closed,
                Err(error) => Flushed::Failed(error),
            };
            return Some((connection, flushed));
        }
    }

    /// A blocked connection's socket takes more.
    pub fn writable(&mut self, connection: ConnectionKey) {
        if self.readers.contains_key(connection) {
            self.dirty.push_back(connection);
        }
    }
}
