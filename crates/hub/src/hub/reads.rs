//! Subscriptions that are not live: which page each wants next, and what comes of it.

use bytes::Bytes;
use healthmate_protocol::{Delivery, Offset, Topic};
use healthmate_ws::Frame;

use super::publish::mark;
use super::{ConnectionKey, Hub, TopicKey};
use crate::run::Run;
use crate::topic::{Mode, TopicEntry};

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

impl Hub {
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
    pub(super) fn arrive(
        &mut self,
        request: &ReadRequest,
        last: Offset,
        at_end: bool,
        send: impl FnOnce(&mut Self),
    ) {
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
    pub(super) fn page_came(&mut self, request: &ReadRequest) {
        if let Some(reader) = self.readers.get_mut(request.connection) {
            reader.reading = false;
            if reader.behind > 0 {
                self.queue_reads(request.connection);
            }
        }
    }

    /// The topic of this request, if its subscription still waits for the answer.
    pub(super) fn waiting(&mut self, request: &ReadRequest) -> Option<(TopicKey, &mut TopicEntry)> {
        let key = *self.names.get(&request.topic)?;
        let entry = self.topics.get_mut(key)?;
        let waits = entry.subscriber(request.connection)?.mode == Mode::Reading(request.number);
        waits.then_some((key, entry))
    }

    pub(super) fn fall_behind(&mut self, connection: ConnectionKey, key: TopicKey) {
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

    pub(super) fn send_run(&mut self, connection: ConnectionKey, count: usize, frames: Bytes) {
        let Some(reader) = self.readers.get_mut(connection) else {
            return;
        };
        self.traffic.queue(count, reader.outbox.push_run(frames));
        mark(&mut self.late, reader, connection);
    }

    /// Whether a subscription waits for a page that could be asked for.
    pub fn wants_read(&self) -> bool {
        !self.reads.is_empty()
    }
}
