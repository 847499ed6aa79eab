//! The one task that writes: a few connections, a look at the inputs, a few more.
//!
//! An idle server writes a lone message at once; under load, what is published between two looks joins the queues
//! of all connections not yet written, so that one write carries many messages.

use std::future::poll_fn;
use std::rc::Rc;

use healthmate_hub::{ConnectionKey, Flushed, Queue, Traffic};
use healthmate_protocol::server::EventsMerged;
use healthmate_protocol::{Envelope, ServerMessage};
use healthmate_session::Input;
use healthmate_ws::Frame;
use tokio::task::{spawn_local, yield_now};

use super::Shard;
use crate::connection::Connection;

/// How many connections are written between two looks at the inputs.
const CHUNK: usize = 64;

/// How many of those that are late are written between two looks while others wait that keep up, and how many while
/// nobody does: what is new is not to wait for what was missed, and what was missed is to come all the same.
const LATE_AMONG_OTHERS: usize = 4;
const LATE_ALONE: usize = 32;

/// How much is written between two looks to connections that are late, in bytes.
const LATE_BYTES: usize = 128 * 1024;

impl Shard {
    pub(super) async fn run_flusher(self: Rc<Self>) {
        let mut scratch = Vec::with_capacity(64 * 1024);
        let mut counted = Traffic::default();
        while !self.is_over() {
            self.handle.woken().await;
            loop {
                self.take_inputs();
                self.write_trail();
                self.flush_chunk(&mut scratch);
                self.start_reads();
                self.count(&mut counted);
                if !self.has_more() {
                    break;
                }
                self.let_writer_run();
                yield_now().await;
            }
        }
    }

    /// Whether there is something to write or to read at once.
    fn has_more(&self) -> bool {
        let hub = self.hub.borrow();
        hub.is_dirty() || hub.wants_read()
    }

    /// Brings the metrics up to what has gone through the hub since they were `counted`.
    fn count(&self, counted: &mut Traffic) {
        let traffic = self.hub.borrow().traffic();
        let metrics = &self.app().metrics;
        metrics.messages_sent.inc_by(traffic.frames - counted.frames);
        metrics.events_merged.inc_by(traffic.merged - counted.merged);
        metrics.events_dropped.inc_by(traffic.dropped - counted.dropped);
        metrics.queued_bytes.inc_by(traffic.queued_bytes as i64 - counted.queued_bytes as i64);
        *counted = traffic;
    }

    /// Writes some of the connections that keep up, and then some of the others.
    fn flush_chunk(self: &Rc<Self>, scratch: &mut Vec<u8>) {
        let mut others = true;
        for _ in 0..CHUNK {
            others = self.flush_one(Queue::Live, scratch).is_some();
            if !others {
                break;
            }
        }
        let mut late_bytes = 0;
        let late = if others { LATE_AMONG_OTHERS } else { LATE_ALONE };
        for _ in 0..late {
            match self.flush_one(Queue::Late, scratch) {
                Some(count) => late_bytes += count,
                None => break,
            }
            if late_bytes >= LATE_BYTES {
                break;
            }
        }
    }

    /// Writes the next connection of a queue, and says how many bytes; `None` if none waits there.
    fn flush_one(self: &Rc<Self>, queue: Queue, scratch: &mut Vec<u8>) -> Option<usize> {
        let mut written = 0;
        let flushed = self.hub.borrow_mut().flush(queue, scratch, |key, bytes| match self.connection(key) {
            Some(connection) => {
                let result = connection.try_write(bytes);
                written += result.as_ref().map_or(0, |count| *count);
                result
            }
            None => Err(std::io::ErrorKind::NotConnected.into()),
        });
        let (key, flushed) = flushed?;
        self.app().metrics.sent_bytes.inc_by(written as u64);
        self.after_flush(key, &flushed);
        Some(written)
    }

    fn after_flush(self: &Rc<Self>, key: ConnectionKey, flushed: &Flushed) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        match flushed {
            Flushed::Done | Flushed::Holding | Flushed::Closed if !connection.is_flushed() => {
                self.drain(connection);
            }
            Flushed::Holding => {
                self.release(key);
                connection.drained();
            }
            Flushed::Done => connection.drained(),
            Flushed::Closed => connection.close_sent(),
            Flushed::Blocked => self.drain(connection),
            Flushed::Failed(error) => {
                tracing::debug!(connection.id = %connection.id(), %error, "write failed");
                connection.end();
            }
        }
    }

    /// Sends on what was held back for a reader of newest values.
    pub(super) fn release(&self, key: ConnectionKey) {
        let now = self.app().clock.now();
        self.hub.borrow_mut().release(key, |topic, merged| {
            let told = ServerMessage::EventsMerged(EventsMerged { topic: topic.clone(), merged });
            Frame::text(&Envelope::new(now, told).to_text())
        });
    }

    /// Waits until a full socket takes more; lives only as long as it is full.
    fn drain(self: &Rc<Self>, connection: Rc<Connection>) {
        if !connection.start_draining() {
            return;
        }
        let shard = Rc::clone(self);
        spawn_local(async move {
            let writable = poll_fn(|cx| connection.poll_writable(cx)).await;
            connection.stop_draining();
            if writable.is_err() {
                return connection.end();
            }
            shard.hub.borrow_mut().writable(connection.key());
            // What was sent has been received: a reader that is slow is alive, however late it comes upon our ping.
            connection.drive(&shard, Input::Pong);
            shard.wake();
        });
    }
}
