//! The connections and topics of one shard.

mod broadcast;
mod newest;
mod opening;
mod publish;
mod reads;
mod view;

use std::collections::{HashMap, VecDeque};

use healthmate_protocol::{Delivery, Interest, Offset, Topic};
use healthmate_ws::Frame;
use slotmap::{SlotMap, new_key_type};

use crate::outbox::Outbox;
use crate::topic::{Mode, Subscriber, TopicEntry};

use self::newest::Newest;
pub use self::newest::Series;
pub use self::publish::Published;
pub use self::reads::ReadRequest;
pub use self::view::Subscription;

new_key_type! {
    /// Names a connection of this shard; never reused for another one.
    pub struct ConnectionKey;
    /// Names a topic that somebody on this shard listens to.
    pub(crate) struct TopicKey;
}

impl Traffic {
    /// Counts `frames` that were queued, of so many bytes in all; 0 bytes if they came after a close.
    fn queue(&mut self, frames: usize, bytes: usize) {
        self.frames += if bytes > 0 { frames as u64 } else { 0 };
        self.queued_bytes += bytes as u64;
    }
}

/// One connection, as the hub sees it.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) outbox: Outbox,
    pub(crate) topics: Vec<TopicKey>,
    /// In the list of connections to flush, or waiting for its socket to take more.
    pub(crate) dirty: bool,
    /// Whether it is written to.
    pub(crate) flow: Flow,
    /// How many of its subscriptions wait for room in the outbox before they read on.
    pub(crate) behind: u32,
    /// One of its subscriptions waits for a page; the others wait for that one, so that at most one page comes on
    /// top of the budget.
    pub(crate) reading: bool,
    /// What its subscriptions to newest values hold back.
    pub(crate) newest: Option<Box<Newest>>,
}

/// Whether a connection is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    #[default]
    Open,
    /// Its socket takes no more now.
    Blocked,
    /// Nothing is written until [`Hub::go_on`].
    Paused,
}

/// Who hears what on one shard.
#[derive(Debug)]
pub struct Hub {
    pub(crate) readers: SlotMap<ConnectionKey, Reader>,
    /// Who is to be flushed, of those that keep up.
    pub(crate) dirty: VecDeque<ConnectionKey>,
    /// Who is to be flushed, of those that do not: apart, so that nobody waits for what they have missed.
    pub(crate) late: VecDeque<ConnectionKey>,
    topics: SlotMap<TopicKey, TopicEntry>,
    names: HashMap<Topic, TopicKey>,
    reads: VecDeque<(ConnectionKey, TopicKey)>,
    next_number: u32,
    pub(crate) budget_bytes: usize,
    pub(crate) traffic: Traffic,
}

/// What has gone through a hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many frames were ever queued.
    pub frames: u64,
    /// How many bytes wait now, over all connections.
    pub queued_bytes: u64,
    /// How many events were ever replaced by newer ones before a slow reader got them.
    pub merged: u64,
    /// How many ephemeral events slow readers ever missed.
    pub dropped: u64,
}

impl Hub {
    /// A hub whose outboxes hold about `budget_bytes` of events each (default 1 MiB); past that, a subscription
    /// reads the log at its reader's pace.
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            readers: SlotMap::with_key(),
            dirty: VecDeque::new(),
            late: VecDeque::new(),
            topics: SlotMap::with_key(),
            names: HashMap::new(),
            reads: VecDeque::new(),
            next_number: 0,
            budget_bytes,
            traffic: Traffic::default(),
        }
    }

    /// Adds a connection.
    pub fn connect(&mut self) -> ConnectionKey {
        self.readers.insert(Reader::default())
    }

    /// Forgets a connection, its subscriptions and what waits for it.
    pub fn disconnect(&mut self, connection: ConnectionKey) {
        let Some(reader) = self.readers.remove(connection) else {
            return;
        };
        self.traffic.queued_bytes -= reader.outbox.bytes() as u64;
        for topic in reader.topics {
            self.leave(connection, topic);
        }
    }

    /// What has gone through, and what waits.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How many connections and subscriptions there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.readers.len(), self.readers.values().map(|reader| reader.topics.len()).sum())
    }

    /// Delivers the topic's events from the one after `after` on: what is in the log first, then live ones. A
    /// second subscription of the same connection replaces the first. `head` is the newest event there is, as far as
    /// is known. Where `interest` is in the newest values, these come first, whatever `after` is.
    pub fn subscribe(
        &mut self,
        connection: ConnectionKey,
        topic: &Topic,
        interest: Interest,
        after: Offset,
        head: Offset,
    ) {
        if !self.readers.contains_key(connection) {
            return;
        }
        self.unsubscribe(connection, topic);
        let topics = &mut self.topics;
        let key =
            *self.names.entry(topic.clone()).or_insert_with(|| topics.insert(TopicEntry::new(topic.clone())));
        let entry = &mut self.topics[key];
        entry.head = entry.head.max(head).max(after);
        entry.subscribers.push(Subscriber { connection, interest, position: after, mode: Mode::Live });
        self.readers[connection].topics.push(key);
        if interest.delivery == Delivery::Latest {
            self.readers[connection].newest.get_or_insert_default().wait_for(key);
        }
        self.fall_behind(connection, key);
    }

    /// Ends a subscription. What is queued already is still delivered.
    pub fn unsubscribe(&mut self, connection: ConnectionKey, topic: &Topic) {
        let Some(&key) = self.names.get(topic) else { return };
        let Some(reader) = self.readers.get_mut(connection) else {
            return;
        };
        let Some(index) = reader.topics.iter().position(|held| *held == key) else {
            return;
        };
        reader.topics.swap_remove(index);
        newest::forget(&mut reader.newest, key);
        if self.leave(connection, key) == Some(Mode::Behind) {
            self.readers[connection].behind -= 1;
        }
    }

    /// Delivers a subscription's events again from the one after `after` on.
    pub fn rewind(&mut self, connection: ConnectionKey, topic: &Topic, after: Offset) {
        let standing = self.names.get(topic).and_then(|key| {
            let entry = self.topics.get_mut(*key)?;
            let (head, interest) = (entry.head, entry.subscriber(connection)?.interest);
            Some((head, interest))
        });
        if let Some((head, interest)) = standing {
            self.subscribe(connection, topic, interest, after, head);
        }
    }

    /// The offset that was delivered last, if all of it has been written; `None` while some of it waits here.
    pub fn delivered(&self, connection: ConnectionKey, topic: &Topic) -> Option<Offset> {
        let entry = self.topics.get(*self.names.get(topic)?)?;
        let held = entry.subscribers.iter().find(|subscriber| subscriber.connection == connection)?;
        self.readers.get(connection)?.outbox.is_empty().then_some(held.position)
    }

    /// Takes a connection out of a topic, and the topic out of the hub with its last subscriber.
    fn leave(&mut self, connection: ConnectionKey, key: TopicKey) -> Option<Mode> {
        let entry = self.topics.get_mut(key)?;
        let index = entry.subscribers.iter().position(|subscriber| subscriber.connection == connection)?;
        let mode = entry.subscribers.swap_remove(index).mode;
        if entry.subscribers.is_empty() {
            let name = entry.name.clone();
            self.topics.remove(key);
            self.names.remove(&name);
        }
        Some(mode)
    }

    /// Queues a frame that answers this connection alone.
    pub fn send(&mut self, connection: ConnectionKey, frame: Frame) {
        let Some(reader) = self.readers.get_mut(connection) else {
            return;
        };
        self.traffic.queue(1, reader.outbox.push(frame));
        publish::mark(&mut self.dirty, reader, connection);
    }

    /// The newest offset known of each of the connection's topics.
    pub fn heads(&self, connection: ConnectionKey) -> impl Iterator<Item = (&Topic, Offset)> {
        let topics = self.readers.get(connection).map(|reader| reader.topics.as_slice()).unwrap_or_default();
        topics.iter().map(|key| (&self.topics[*key].name, self.topics[*key].head))
    }

    /// How many bytes wait for the connection.
    pub fn queued_bytes(&self, connection: ConnectionKey) -> usize {
        self.readers.get(connection).map_or(0, |reader| reader.outbox.bytes())
    }
}

impl Reader {
    /// Whether its socket takes no more now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.flow == Flow::Blocked
    }

    /// Whether a live event may be queued. While its socket takes nothing, little is enough to go on with: what follows
    /// can be read from the log as cheaply, and costs nothing until then.
    fn takes_live(&self, budget_bytes: usize) -> bool {
        let most = if self.is_blocked() { budget_bytes.min(BLOCKED_BYTES) } else { budget_bytes };
        self.outbox.bytes() < most
    }

    /// Whether it reads on: late enough to save reads, soon enough that its socket does not run dry. What a socket
    /// that takes nothing has not been sent yet lies in the log as well as here.
    pub(crate) fn has_room(&self, budget_bytes: usize) -> bool {
        !self.is_blocked() && self.outbox.bytes() <= low_water(budget_bytes)
    }
}

/// How much of the live events waits for a socket that takes nothing.
const BLOCKED_BYTES: usize = 64 * 1024;

/// When this much is left of a queue, there is room for more.
fn low_water(budget_bytes: usize) -> usize {
    budget_bytes / 4
}

#[cfg(test)]
mod tests;
