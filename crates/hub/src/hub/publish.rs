//! Committed events, to everyone who is live.

use std::collections::VecDeque;

use healthmate_protocol::{Delivery, Offset, Topic};
use healthmate_ws::Frame;

use super::{ConnectionKey, Hub, Reader, Series, TopicKey, Traffic, newest};
use crate::topic::{Mode, Subscriber};

/// Events of one topic with neighbouring offsets, encoded: what one commit brought.
#[derive(Debug)]
pub struct Published {
    /// The offset of the first.
    pub first: Offset,
    /// Each of them, and what it is a value of. At least one.
    pub each: Vec<(Option<Series>, Frame)>,
    /// All of them in a row.
    pub joined: Frame,
}

impl Published {
    /// Events from the offset `first` on.
    pub fn new(first: Offset, each: Vec<(Option<Series>, Frame)>) -> Self {
        let joined = match each.as_slice() {
            [(_, only)] => only.clone(),
            several => Frame::joined(several.iter().map(|(_, frame)| frame)),
        };
        Self { first, each, joined }
    }

    fn last(&self) -> Offset {
        Offset(self.first.0 + self.each.len() as u64 - 1)
    }

    /// Those after `position`, with their offsets.
    fn after(&self, position: Offset) -> impl Iterator<Item = (Offset, Option<Series>, &Frame)> {
        let offsets = (self.first.0..).map(Offset);
        let all = offsets.zip(&self.each).map(|(offset, (series, frame))| (offset, *series, frame));
        all.filter(move |(offset, ..)| *offset > position)
    }
}

/// What a subscription did with events.
enum Taken {
    /// It queued so many.
    Queued(usize),
    /// It had them, or holds them back.
    Nothing,
    /// It can go on only from the log.
    Lost,
}

impl Hub {
    /// Whether somebody here hears the topic.
    pub fn is_heard(&self, topic: &Topic) -> bool {
        self.names.contains_key(topic)
    }

    /// Queues events for everyone who is live on their topic; others will read them. No system call is made here.
    /// Returns how many deliveries were queued. Subscriptions to newest values take events with a series only.
    pub fn publish(&mut self, topic: &Topic, events: &Published) -> usize {
        let Some(&key) = self.names.get(topic) else {
            return 0;
        };
        let Self { topics, readers, dirty, traffic, budget_bytes, .. } = self;
        let entry = &mut topics[key];
        entry.head = entry.head.max(events.last());
        let (mut delivered, mut lost) = (0, Vec::new());
        for subscriber in &mut entry.subscribers {
            let latest = subscriber.interest.delivery == Delivery::Latest;
            if subscriber.mode != Mode::Live && !latest {
                continue;
            }
            let Some(reader) = readers.get_mut(subscriber.connection) else {
                continue;
            };
            let taken = if latest {
                newest_of(subscriber, reader, key, events, *budget_bytes, traffic)
            } else {
                all_of(subscriber, reader, events, *budget_bytes, traffic)
            };
            match taken {
                Taken::Queued(count) => {
                    delivered += count;
                    mark(dirty, reader, subscriber.connection);
                }
                Taken::Nothing => {}
                Taken::Lost => lost.push(subscriber.connection),
            }
        }
        for connection in lost {
            self.fall_behind(connection, key);
        }
        delivered
    }
}

/// Puts the connection into the list of those to flush, if it is not there.
pub(super) fn mark(dirty: &mut VecDeque<ConnectionKey>, reader: &mut Reader, connection: ConnectionKey) {
    if !reader.dirty {
        reader.dirty = true;
        dirty.push_back(connection);
    }
}

/// For a durable subscription: all of them, or those that are new to it.
fn all_of(
    subscriber: &mut Subscriber,
    reader: &mut Reader,
    events: &Published,
    budget_bytes: usize,
    traffic: &mut Traffic,
) -> Taken {
    let next = subscriber.position.next();
    if next > events.last() {
        return Taken::Nothing;
    }
    if next < events.first || !reader.takes_live(budget_bytes) {
        return Taken::Lost;
    }
    let count = if next == events.first {
        traffic.queue(events.each.len(), reader.outbox.push(events.joined.clone()));
        events.each.len()
    } else {
        let new = events.after(subscriber.position);
        new.map(|(.., frame)| traffic.queue(1, reader.outbox.push(frame.clone()))).count()
    };
    subscriber.position = events.last();
    Taken::Queued(count)
}

/// For a subscription to newest values: each of them, or the newest of each series once the reader is busy.
fn newest_of(
    subscriber: &mut Subscriber,
    reader: &mut Reader,
    key: TopicKey,
    events: &Published,
    budget_bytes: usize,
    traffic: &mut Traffic,
) -> Taken {
    let mut count = 0;
    for (offset, series, frame) in events.after(subscriber.position) {
        subscriber.position = offset;
        let Some(series) = series else { continue };
        let busy = reader.blocked || reader.outbox.bytes() >= budget_bytes;
        if newest::must_hold(reader.newest.as_deref(), key, busy) {
            traffic.merged += reader.newest.get_or_insert_default().hold(key, series, frame.clone());
        } else {
            traffic.queue(1, reader.outbox.push(frame.clone()));
            count += 1;
        }
    }
    if count > 0 { Taken::Queued(count) } else { Taken::Nothing }
}
