//! How far the logs of topics reach, in memory: opening a topic that was opened lately costs no question to the store.

use healthmate_protocol::{Offset, Topic};
use healthmate_storage::{Error, Event, EventLog, LogRange};
use parking_lot::Mutex;

use crate::recent::Recent;

/// How many topics are known, half of them at least the ones opened last.
const HALF: usize = 8192;

/// The ranges of the topics opened lately.
///
/// What is here is never behind: the commit listener tells of new events before any shard hears of them, and an
/// entry stands before its range is read, so that it takes in what is committed meanwhile. A shard that finds here
/// that `n` is the newest event has yet to hear of event `n + 1`, and of every later one.
#[derive(Debug)]
pub(crate) struct Heads(Mutex<State>);

#[derive(Debug)]
struct State {
    known: Recent<Topic, Known>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Known {
    /// Of the readings that may fill it in: those that began after the entry stood, and before it was forgotten.
    ticket: u64,
    /// `None` until the range was read.
    oldest: Option<Offset>,
    /// The newest offset that was read or told of.
    head: Offset,
}

impl Heads {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self::keeping(HALF)
    }

    fn keeping(half: usize) -> Self {
        Self(Mutex::new(State { known: Recent::new(half), next_ticket: 0 }))
    }

    /// The topic's range, if it is known and reaches to `at_least`.
    pub(crate) fn get(&self, topic: &Topic, at_least: Offset) -> Option<LogRange> {
        let mut state = self.0.lock();
        state.known.get(topic).and_then(|known| known.range()).filter(|range| range.head >= at_least)
    }

    /// The topic's range, from the store if it is not known to reach to `at_least`: somebody may have heard of an event
    /// before the listener was called. Should the range be forgotten while it is read, it stays unknown.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn read(
        &self,
        store: &(impl EventLog + ?Sized),
        topic: &Topic,
        at_least: Offset,
    ) -> Result<LogRange, Error> {
        if let Some(range) = self.get(topic, at_least) {
            return Ok(range);
        }
        let ticket = self.expect(topic);
        let range = store.range(topic).await?;
        Ok(self.learn(topic, ticket, range))
    }

    /// Tells of committed events, in the order of their commits. Must be called before shards are told.
    pub(crate) fn committed(&self, events: &[Event]) {
        let mut state = self.0.lock();
        // A device sends many at once, all of one topic.
        for run in events.chunk_by(|one, other| one.topic == other.topic) {
            if let Some(last) = run.last()
                && let Some(known) = state.known.peek(&last.topic)
            {
                known.head = known.head.max(last.offset);
            }
        }
    }

    /// Forgets all ranges: their beginnings have changed.
    pub(crate) fn forget(&self) {
        self.0.lock().known.clear();
    }

    /// Makes an entry, from now on told of events, that a reading which begins now may fill in.
    fn expect(&self, topic: &Topic) -> u64 {
        let mut state = self.0.lock();
        if let Some(known) = state.known.get(topic) {
            return known.ticket;
        }
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        state.known.insert(topic.clone(), Known { ticket, oldest: None, head: Offset::START });
        ticket
    }

    /// Takes in what was read, and says what is known now.
    fn learn(&self, topic: &Topic, ticket: u64, read: LogRange) -> LogRange {
        let mut state = self.0.lock();
        let Some(known) = state.known.get(topic).filter(|known| known.ticket == ticket) else {
            return read;
        };
        known.head = known.head.max(read.head);
        let oldest = *known.oldest.get_or_insert(read.oldest);
        LogRange { oldest, head: known.head }
    }
}

impl Known {
    fn range(&self) -> Option<LogRange> {
        Some(LogRange { oldest: self.oldest?, head: self.head })
    }
}

#[cfg(test)]
mod tests;
