//! The deadlines of a shard's connections: one entry each, one sleep for all.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Instant;

use healthmate_hub::ConnectionKey;
use tokio::sync::Notify;

use super::Shard;

/// Who is to be looked at when. A connection remembers the entry it waits for; one that it no longer waits for,
/// because something sooner came up, is passed over when its time comes.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: RefCell<BinaryHeap<Reverse<(Instant, ConnectionKey)>>>,
    earlier: Notify,
}

impl Timers {
    /// Looks at this connection at `when`.
    pub(crate) fn set(&self, when: Instant, key: ConnectionKey) {
        let first = self.next();
        self.heap.borrow_mut().push(Reverse((when, key)));
        if first.is_none_or(|first| when < first) {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> Option<Instant> {
        self.heap.borrow().peek().map(|Reverse((when, _))| *when)
    }

    fn pop_due(&self, now: Instant) -> Option<(Instant, ConnectionKey)> {
        let mut heap = self.heap.borrow_mut();
        let due = heap.peek().is_some_and(|Reverse((when, _))| *when <= now);
        due.then(|| heap.pop().map(|Reverse(entry)| entry)).flatten()
    }
}

impl Shard {
    pub(super) async fn run_timers(self: Rc<Self>) {
        loop {
            match self.timers.next() {
                None => self.timers.earlier.notified().await,
                Some(when) => tokio::select! {
                    () = tokio::time::sleep_until(when.into()) => {}
                    () = self.timers.earlier.notified() => {}
                },
            }
            let now = tokio::time::Instant::now().into_std();
            while let Some((when, key)) = self.timers.pop_due(now) {
                if let Some(connection) = self.connection(key) {
                    connection.tick(&self, when);
                }
            }
        }
    }
}
