//! Committed events, to everyone who is live.

use std::collections::VecDeque;

use healthmate_protocol::{Delivery, Offset, Topic};
use healthmate_ws::Frame;

use super::{ConnectionKey, Hub, Reader, Series, TopicKey, Traffic, newest};
use crate::run::Run;
use crate::topic::{Mode, Subscriber};

/// Events of one topic with neighbouring offsets, encoded: what one commit brought.
#[derive(Debug)]
pub struct Published {
    /// Each of them, and what it is a value of.
    each: Vec<(Option<Series>, Frame)>,
    /// All of them in a row.
    run: Run,
}

impl Published {
    /// Events from the offset `first` on.
    pub fn new(first: Offset, each: Vec<(Option<Series>, Frame)>) -> Self {
        let before = Offset(first.0.saturating_sub(1));
        let run = Run::new(before, each.iter().map(|(_, frame)| frame));
        Self { each, run }
    }

    /// Those after `position`, with their offsets.
    fn after(&self, position: Offset) -> impl Iterator<Item = (Offset, Option<Series>, &Frame)> {
        let offsets = (self.run.after().0 + 1..).map(Offset);
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
        entry.head = entry.head.max(events.run.last());
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
    match events.run.from(subscriber.position) {
        Some((0, _)) => Taken::Nothing,
        Some((count, frames)) if reader.takes_live(budget_bytes) => {
            traffic.queue(count, reader.outbox.push_run(frames));
            subscriber.position = events.run.last();
            Taken::Queued(count)
        }
        Some(_) | None => Taken::Lost,
    }
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
        let busy = reader.is_blocked() || reader.outbox.bytes() >= budget_bytes;
        if newest::must_hold(reader.newest.as_deref(), key, busy) {
            traffic.merged += reader.newest.get_or_insert_default().hold(key, series, frame.clone());
        } else {
            traffic.queue(1, reader.outbox.push(frame.clone()));
            count += 1;
        }
    }
    if count > 0 { Taken::Queued(count) } else { Taken::Nothing }
}
