//! How other threads reach a shard.

use std::fmt;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use healthmate_hub::ConnectionKey;
use healthmate_protocol::CloseCode;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Shard;
use crate::listener::{Accepting, Visit};
use crate::publish::{Broadcast, Committed};

/// An accepted socket.
#[derive(Debug)]
pub(crate) struct NewSocket {
    pub(crate) stream: TcpStream,
    pub(crate) visit: Visit,
}

/// A shard's letter box. Whatever is put in, the shard is woken once.
#[derive(Debug, Default)]
pub(crate) struct ShardHandle {
    letters: Mutex<Letters>,
    wake: Notify,
}

/// What other threads have left for a shard.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Committed events, in the order of their commits.
    pub(crate) commits: Vec<Arc<Committed>>,
    /// Ephemeral events.
    pub(crate) broadcasts: Vec<Arc<Broadcast>>,
    /// Where to accept sockets for all shards.
    pub(crate) listen: Option<Accepting>,
    /// New sockets.
    pub(crate) sockets: Vec<NewSocket>,
    /// Connections to close.
    pub(crate) closes: Vec<(ConnectionKey, CloseCode)>,
    /// Whether users or care teams have changed.
    pub(crate) recheck: bool,
    /// What operators ask.
    pub(crate) questions: Vec<Question>,
    /// Whether to stop.
    pub(crate) stop: bool,
}

/// Something to look up or do on the shard's own thread, which sends its answer.
pub(crate) struct Question(Box<Lookup>);

type Lookup = dyn FnOnce(&Rc<Shard>) + Send;

impl Question {
    /// Looks it up, and sends the answer.
    pub(crate) fn answer(self, shard: &Rc<Shard>) {
        (self.0)(shard);
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

impl ShardHandle {
    /// Has the shard accept sockets, for all shards.
    pub(crate) fn listen(&self, accepting: Accepting) {
        self.letters.lock().listen = Some(accepting);
        self.wake();
    }

    /// Hands over a socket.
    pub(crate) fn accept(&self, socket: NewSocket) {
        self.letters.lock().sockets.push(socket);
        self.wake();
    }

    /// Hands over committed events, in the order of their commits.
    pub(crate) fn publish(&self, committed: Arc<Committed>) {
        self.letters.lock().commits.push(committed);
        self.wake();
    }

    /// Hands over an ephemeral event.
    pub(crate) fn broadcast(&self, event: Arc<Broadcast>) {
        self.letters.lock().broadcasts.push(event);
        self.wake();
    }

    /// Tells the shard to close one connection, if it still is there.
    pub(crate) fn close(&self, key: ConnectionKey, code: CloseCode) {
        self.letters.lock().closes.push((key, code));
        self.wake();
    }

    /// Tells the shard to decide the access of its connections again.
    pub(crate) fn recheck(&self) {
        self.letters.lock().recheck = true;
        self.wake();
    }

    /// Asks the shard; the answer comes once the shard has looked at its letters. It never comes from a shard that
    /// has ended.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Rc<Shard>) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, asked) = oneshot::channel();
        let question = Question(Box::new(move |shard| {
            // Whoever asked may have left.
            let _ = answer.send(question(shard));
        }));
        self.letters.lock().questions.push(question);
        self.wake();
        asked
    }

    /// Tells the shard to close its connections and end.
    pub(crate) fn stop(&self) {
        self.letters.lock().stop = true;
        self.wake();
    }

    /// Wakes the flusher; if it is awake, it will look once more.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits to be woken.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// All that was handed over since the last time.
    pub(crate) fn take(&self) -> Letters {
        std::mem::take(&mut *self.letters.lock())
    }
}
