//! The log of durable events.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use healthmate_care::{Clock, Metric};
use healthmate_protocol::{Epoch, Offset, Timestamp, Topic};
use serde_json::value::RawValue;

use crate::Error;

/// A durable event as the log keeps it.
#[derive(Clone)]
pub struct Event {
    /// What carries it.
    pub topic: Topic,
    /// Its place there.
    pub offset: Offset,
    /// Its `type` on the wire.
    pub kind: EventKind,
    /// When it was stored.
    pub recorded_at: Timestamp,
    /// What it is a value of: known of events that were just committed, `None` of those read back.
    pub series: Option<Series>,
    /// The JSON of its `data`.
    pub payload: Arc<RawValue>,
}

/// What an event is a value of, within its topic: of two in one series, the one taken later is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// What was measured.
    pub metric: Metric,
    /// When.
    pub taken_at: Timestamp,
}

/// An event holds health data: `Debug` shows its place only.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {})", self.topic, self.offset)
    }
}

/// The kinds of durable event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A measurement was stored.
    HealthUpdate,
    /// A user was told something.
    Notification,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::HealthUpdate, Self::Notification];

    /// The `type` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HealthUpdate => "health_update",
            Self::Notification => "notification",
        }
    }
}

/// How far a topic's log reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The oldest offset kept; `head + 1` if none is.
    pub oldest: Offset,
    /// The newest offset ever given; 0 if there was none.
    pub head: Offset,
}

/// A new epoch, which nobody can guess: 16 characters that hold 96 random bits.
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "letters, digits, '-' and '_' are what an epoch is made of"
)]
pub fn new_epoch(clock: &dyn Clock) -> Epoch {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let text: String =
        clock.random().iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect();
    Epoch::new(&text).expect("16 characters of the alphabet")
}

/// What hears of committed events: called on the writer's thread, so it must be quick and must not wait.
pub type CommitListener = Arc<dyn Fn(&[Event]) + Send + Sync>;

/// The log of durable events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The incarnation of the store. It stays the same when the store is opened again.
    fn epoch(&self) -> Epoch;

    /// Calls `listener` with the events of each commit, after it reached the disk; over all calls, each topic's
    /// events come in offset order without a hole. A later listener replaces an earlier one. The caller of `record`
    /// may have its answer before the listener is called; whoever wrote after that answer comes after it.
    fn set_commit_listener(&self, listener: CommitListener);

    /// How far the topic's log reaches. A topic that never had an event has `oldest` 1 and `head` 0.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn range(&self, topic: &Topic) -> Result<LogRange, Error>;

    /// The events after `after`, in order, at most `limit`. Where the log no longer reaches back that far, it starts
    /// with the oldest event kept.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn read_after(&self, topic: &Topic, after: Offset, limit: u32) -> Result<Vec<Event>, Error>;

    /// Forgets at most `limit` events stored before `before`, and says how many. A topic loses its oldest events only,
    /// up to the first that was stored at or after `before`, so that what is kept has no hole. Heads and
    /// measurements stay.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn trim(&self, before: Timestamp, limit: u32) -> Result<u64, Error>;

    /// Gives the store a new epoch, as must be done after a backup was restored.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn renew_epoch(&self) -> Result<Epoch, Error>;
}
