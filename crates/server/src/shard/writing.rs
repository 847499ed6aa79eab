//! Measurements on their way to the store.

use std::cell::Cell;

use healthmate_protocol::server::MeasurementReceipt;
use healthmate_storage::{Error, Recording};

use super::Shard;

/// Counts for as long as it lives.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Shard {
    /// Has the store record measurements.
    pub(crate) async fn record(&self, recording: Recording) -> Result<Vec<MeasurementReceipt>, Error> {
        let _counted = Counted::new(&self.writing);
        self.app().store.record(recording).await
    }

    /// Lets the store's writer have the core, if it has something to do and wants it: otherwise this returns at once. A
    /// shard that writes without a pause would let it wait for the rest of its time slice, some milliseconds, each
    /// time that it is woken.
    pub(super) fn let_writer_run(&self) {
        if self.writing.get() > 0 {
            std::thread::yield_now();
        }
    }
}
