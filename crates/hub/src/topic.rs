//! One topic's subscribers on this shard.

use healthmate_protocol::{Interest, Offset, Topic};

use crate::hub::ConnectionKey;

/// A topic somebody here listens to.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    pub(crate) name: Topic,
    /// The newest offset seen since somebody listens here.
    pub(crate) head: Offset,
    pub(crate) subscribers: Vec<Subscriber>,
}

/// One connection's subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: ConnectionKey,
    pub(crate) interest: Interest,
    /// The offset delivered last; for newest values, the offset heard of last.
    pub(crate) position: Offset,
    pub(crate) mode: Mode,
}

/// Where a subscription takes its events from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// From publications, as they come.
    Live,
    /// From the store; the next page, or the newest values, are to be asked for when the outbox has room.
    Behind,
    /// From the store; a page, or the newest values, were asked for. The number tells the answer from one to an earlier subscription.
    Reading(u32),
}

impl TopicEntry {
    pub(crate) fn new(name: Topic) -> Self {
        Self { name, head: Offset::START, subscribers: Vec::new() }
    }

    pub(crate) fn subscriber(&mut self, connection: ConnectionKey) -> Option<&mut Subscriber> {
        self.subscribers.iter_mut().find(|subscriber| subscriber.connection == connection)
    }
}
