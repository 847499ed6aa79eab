//! The connections and topics of one shard.

mod broadcast;
mod newest;
mod opening;
mod publish;
mod view;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use healthmate_protocol::{Delivery, Interest, Offset, Topic};
use healthmate_ws::Frame;
use slotmap::{SlotMap, new_key_type};

use crate::outbox::Outbox;
use crate::run::Run;
use crate::topic::{Mode, Subscriber, TopicEntry};

use self::newest::Newest;
pub use self::newest::Series;
pub use self::publish::Published;
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

/// A page of the log, or the newest values, that a subscription wants. Answer it with [`Hub::supply`] or
/// [`Hub::supply_newest`], as its `delivery` says, or with [`Hub::fail`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Who reads.
    pub connection: ConnectionKey,
    /// What.
    pub topic: Topic,
    /// Whether a page of the log is wanted, or the newest value of each series.
    pub delivery: Delivery,
    /// The page starts with the event after this one.
    pub after: Offset,
    /// The newest event there is, as far as is known.
    pub head: Offset,
    /// Tells this request from others of the same subscription.
    pub number: u32,
}

/// One connection, as the hub sees it.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) outbox: Outbox,
    pub(crate) topics: Vec<TopicKey>,
    /// In the list of connections to flush, or waiting for its socket to take more.
    pub(crate) dirty: bool,
    /// Its socket takes no more now.
    pub(crate) blocked: bool,
    /// How many of its subscriptions wait for room in the outbox before they read on.
    pub(crate) behind: u32,
    /// One of its subscriptions waits for a page; the others wait for that one, so that at most one page comes on
    /// top of the budget.
    pub(crate) reading: bool,
    /// What its subscriptions to newest values hold back.
    pub(crate) newest: Option<Box<Newest>>,
}

/// Who hears what on one shard.
#[derive(Debug)]
pub struct Hub {
    pub(crate) readers: SlotMap<ConnectionKey, Reader>,
    pub(crate) dirty: VecDeque<ConnectionKey>,
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
        if !reader.dirty {
            reader.dirty = true;
            self.dirty.push_back(connection);
        }
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

    /// The next page of the log that somebody has room for.
    pub fn next_read(&mut self) -> Option<ReadRequest> {
        loop {
            let (connection, key) = self.reads.pop_front()?;
            let Some(entry) = self.topics.get_mut(key) else {
                continue;
            };
            let topic = entry.name.clone();
            let Some(subscriber) = entry.subscriber(connection) else {
                continue;
            };
            let Some(reader) = self.readers.get_mut(connection) else {
                continue;
            };
            let full = reader.reading || !reader.has_room(self.budget_bytes);
            if subscriber.mode != Mode::Behind || full {
                // It is queued again when its outbox has drained, or the page has come.
                continue;
            }
            reader.behind -= 1;
            reader.reading = true;
            self.next_number = self.next_number.wrapping_add(1);
            subscriber.mode = Mode::Reading(self.next_number);
            return Some(ReadRequest {
                connection,
                topic,
                delivery: subscriber.interest.delivery,
                after: subscriber.position,
                head: entry.head,
                number: self.next_number,
            });
        }
    }

    /// Delivers a page of the log: the events after `start`, which is the request's `after`, or later where the log
    /// no longer reaches back that far. `at_end` says that the log held no more when it was read; the subscription
    /// then goes live, unless an event has come since that the page does not hold.
    pub fn supply(
        &mut self,
        request: &ReadRequest,
        start: Offset,
        page: impl IntoIterator<Item = (Offset, Frame)>,
        at_end: bool,
    ) {
        let frames: Vec<_> = page.into_iter().collect();
        let last = frames.last().map_or(start, |(offset, _)| *offset);
        self.arrive(request, last, at_end, |hub| {
            for (_, frame) in frames {
                hub.send(request.connection, frame);
            }
        });
    }

    /// Delivers what a run holds after the request's `after`, which must not lie before it; says how many events.
    /// `at_end` is as in [`Hub::supply`].
    pub fn supply_run(&mut self, request: &ReadRequest, run: &Run, at_end: bool) -> usize {
        let Some((count, frames)) = run.from(request.after) else {
            self.fail(request);
            return 0;
        };
        self.arrive(request, run.last(), at_end, |hub| hub.send_run(request.connection, count, frames));
        count
    }

    /// A page up to `last` came; `send` queues it.
    fn arrive(&mut self, request: &ReadRequest, last: Offset, at_end: bool, send: impl FnOnce(&mut Self)) {
        self.page_came(request);
        let Some((key, entry)) = self.waiting(request) else {
            return;
        };
        let connection = request.connection;
        let position = last.max(request.after);
        let caught_up = at_end && position >= entry.head;
        entry.head = entry.head.max(position);
        if let Some(subscriber) = entry.subscriber(connection) {
            subscriber.position = position;
            subscriber.mode = Mode::Live;
        }
        send(self);
        if !caught_up {
            self.fall_behind(connection, key);
        }
    }

    /// The log could not be read. The subscription asks again the next time [`Hub::retry_reads`] is called.
    pub fn fail(&mut self, request: &ReadRequest) {
        self.page_came(request);
        let Some((_, entry)) = self.waiting(request) else {
            return;
        };
        if let Some(subscriber) = entry.subscriber(request.connection) {
            subscriber.mode = Mode::Behind;
            self.readers[request.connection].behind += 1;
        }
    }

    /// Lets every subscription that is behind ask for its page again.
    pub fn retry_reads(&mut self) {
        let behind: Vec<_> = self
            .readers
            .iter()
            .filter(|(_, reader)| reader.behind > 0)
            .map(|(connection, _)| connection)
            .collect();
        for connection in behind {
            self.queue_reads(connection);
        }
    }

    /// Whether the subscription that made this request still waits for its answer.
    pub fn is_waiting(&mut self, request: &ReadRequest) -> bool {
        self.waiting(request).is_some()
    }

    /// Lets the connection's other subscriptions read.
    fn page_came(&mut self, request: &ReadRequest) {
        if let Some(reader) = self.readers.get_mut(request.connection) {
            reader.reading = false;
            if reader.behind > 0 {
                self.queue_reads(request.connection);
            }
        }
    }

    /// The topic of this request, if its subscription still waits for the answer.
    fn waiting(&mut self, request: &ReadRequest) -> Option<(TopicKey, &mut TopicEntry)> {
        let key = *self.names.get(&request.topic)?;
        let entry = self.topics.get_mut(key)?;
        let waits = entry.subscriber(request.connection)?.mode == Mode::Reading(request.number);
        waits.then_some((key, entry))
    }

    fn fall_behind(&mut self, connection: ConnectionKey, key: TopicKey) {
        let Some(subscriber) = self.topics.get_mut(key).and_then(|entry| entry.subscriber(connection)) else {
            return;
        };
        subscriber.mode = Mode::Behind;
        self.readers[connection].behind += 1;
        self.reads.push_back((connection, key));
    }

    /// Queues a read for each subscription of the connection that is behind.
    pub(crate) fn queue_reads(&mut self, connection: ConnectionKey) {
        let Some(reader) = self.readers.get(connection) else {
            return;
        };
        for key in &reader.topics {
            let behind =
                self.topics[*key].subscriber(connection).is_some_and(|held| held.mode == Mode::Behind);
            if behind {
                self.reads.push_back((connection, *key));
            }
        }
    }

    fn send_run(&mut self, connection: ConnectionKey, count: usize, frames: Bytes) {
        let Some(reader) = self.readers.get_mut(connection) else {
            return;
        };
        let bytes = reader.outbox.push_run(frames);
        self.traffic.frames += if bytes > 0 { count as u64 } else { 0 };
        self.traffic.queued_bytes += bytes as u64;
        if !reader.dirty {
            reader.dirty = true;
            self.dirty.push_back(connection);
        }
    }

    /// Whether a subscription waits for a page that could be asked for.
    pub fn wants_read(&self) -> bool {
        !self.reads.is_empty()
    }
}

impl Reader {
    /// Whether a live event may be queued. While its socket takes nothing, little is enough to go on with: what follows
    /// can be read from the log as cheaply, and costs nothing until then.
    fn takes_live(&self, budget_bytes: usize) -> bool {
        let most = if self.blocked { budget_bytes.min(BLOCKED_BYTES) } else { budget_bytes };
        self.outbox.bytes() < most
    }

    /// Whether it reads on: late enough to save reads, soon enough that its socket does not run dry. What a socket
    /// that takes nothing has not been sent yet lies in the log as well as here.
    pub(crate) fn has_room(&self, budget_bytes: usize) -> bool {
        !self.blocked && self.outbox.bytes() <= low_water(budget_bytes)
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
