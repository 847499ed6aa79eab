//! Records of the audit trail, on their way to the store: what a turn of the shard brings goes as one command, and what
//! waits for it goes on together, when it is on disk.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use healthmate_care::AuditRecord;
use healthmate_storage::Error;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use super::Shard;

/// How long after a batch the next one begins at the earliest: what comes together is written with one commit. A record
/// that comes alone does not wait.
const PACE: Duration = Duration::from_millis(1);

/// What is done when a record stands, or is known not to.
type Then = Box<dyn FnOnce(&Rc<Shard>, Result<(), &Error>)>;

/// The records that wait for their turn.
#[derive(Default)]
pub(super) struct Trail {
    waiting: RefCell<Batch>,
    /// Whether a batch is on its way: the next one gathers until it is back.
    writing: Cell<bool>,
    /// When the next batch may begin.
    next: Cell<Option<Instant>>,
}

#[derive(Default)]
struct Batch {
    records: Vec<AuditRecord>,
    then: Vec<Then>,
}

impl Trail {
    /// Whether nothing waits, and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        !self.writing.get() && self.waiting.borrow().records.is_empty()
    }
}

impl Shard {
    /// Appends a record to the audit trail, after those before; `then` is told when it is on disk, or why it is not. What
    /// it describes must not be done before, or must be undone where it cannot be recorded.
    pub(crate) fn audit(
        &self,
        record: AuditRecord,
        then: impl FnOnce(&Rc<Self>, Result<(), &Error>) + 'static,
    ) {
        let mut waiting = self.trail.waiting.borrow_mut();
        waiting.records.push(record);
        waiting.then.push(Box::new(then));
        drop(waiting);
        self.wake();
    }

    /// Appends a record to the audit trail, and waits until it is on disk.
    pub(crate) async fn audited(&self, record: AuditRecord) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.audit(record, |_, stands| {
            // Whoever asked may be gone.
            let _ = answer.send(stands.map_err(Error::clone));
        });
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable("the shard has ended".to_owned())))
    }

    /// Appends the record of a refusal, unless there were too many lately. Nobody waits for it.
    pub(crate) fn record_refusal(&self, record: AuditRecord) {
        if self.app().refusals.admit(&record.by, self.now().instant) {
            self.audit(record, |_, _| {});
        }
    }

    /// Hands what waits to the store, unless a batch is on its way.
    pub(super) fn write_trail(self: &Rc<Self>) {
        if self.trail.waiting.borrow().records.is_empty() || self.trail.writing.replace(true) {
            return;
        }
        let shard = Rc::clone(self);
        spawn_local(async move {
            loop {
                if let Some(next) = shard.trail.next.get().filter(|next| *next > Instant::now()) {
                    sleep_until(next).await;
                }
                shard.trail.next.set(Some(Instant::now() + PACE));
                let Batch { records, then } = shard.trail.waiting.take();
                if records.is_empty() {
                    break;
                }
                let count = records.len();
                let written = shard.app().store.audit(records).await;
                if let Err(error) = &written {
                    shard.app().metrics.audit_failures.inc_by(count as u64);
                    tracing::error!(%error, count, "records of the audit trail could not be written");
                }
                for then in then {
                    then(&shard, written.as_ref().copied());
                }
            }
            shard.trail.writing.set(false);
            shard.wake_if_over();
        });
    }
}
