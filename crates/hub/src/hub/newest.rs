//! Subscriptions to newest values: whoever does not keep up gets the newest of each series, and a count of the rest.

use healthmate_protocol::{Offset, Topic};
use healthmate_ws::Frame;

use super::{ConnectionKey, Hub, ReadRequest, TopicKey};
use crate::topic::Mode;

/// What an event is a value of: of two in one series, the newer replaces the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// Names the series within its topic, such as a metric of the patient.
    pub id: u32,
    /// When the value was taken, in microseconds.
    pub at: i64,
}

/// What one connection's subscriptions to newest values hold back.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    held: Vec<Held>,
    /// How many values were replaced since the reader was told last.
    merged: Vec<(TopicKey, u64)>,
    /// Whose newest values are still being read from the store: they come before any other.
    waiting: Vec<TopicKey>,
}

#[derive(Debug)]
struct Held {
    topic: TopicKey,
    series: Series,
    frame: Frame,
}

/// Whether an event of this topic must be held back: the reader is busy, or others of the topic are held already.
pub(crate) fn must_hold(newest: Option<&Newest>, topic: TopicKey, busy: bool) -> bool {
    let held = |newest: &Newest| {
        newest.waiting.contains(&topic) || newest.held.iter().any(|held| held.topic == topic)
    };
    busy || newest.is_some_and(held)
}

/// Forgets what is held of a topic.
pub(crate) fn forget(newest: &mut Option<Box<Newest>>, topic: TopicKey) {
    if let Some(held) = newest {
        held.held.retain(|value| value.topic != topic);
        held.merged.retain(|(merged, _)| *merged != topic);
        held.waiting.retain(|waiting| *waiting != topic);
        if held.is_empty() {
            *newest = None;
        }
    }
}

impl Newest {
    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }

    /// Whether something could be sent on, once the socket takes more.
    pub(crate) fn is_releasable(&self) -> bool {
        self.held.iter().any(|held| !self.waiting.contains(&held.topic))
    }

    pub(crate) fn wait_for(&mut self, topic: TopicKey) {
        self.waiting.push(topic);
    }

    /// Holds a value back; of one series, the newest stays. Says how many were merged: 1 or 0.
    pub(crate) fn hold(&mut self, topic: TopicKey, series: Series, frame: Frame) -> u64 {
        let same = |held: &&mut Held| held.topic == topic && held.series.id == series.id;
        let Some(held) = self.held.iter_mut().find(same) else {
            self.held.push(Held { topic, series, frame });
            return 0;
        };
        if series.at >= held.series.at {
            (held.series, held.frame) = (series, frame);
        }
        match self.merged.iter_mut().find(|(merged, _)| *merged == topic) {
            Some((_, count)) => *count += 1,
            None => self.merged.push((topic, 1)),
        }
        1
    }

    /// Adds a value that the store held when the subscription began, unless a newer one came since.
    fn begin_with(&mut self, topic: TopicKey, series: Series, frame: Frame) {
        match self.held.iter_mut().find(|held| held.topic == topic && held.series.id == series.id) {
            Some(held) if series.at > held.series.at => (held.series, held.frame) = (series, frame),
            Some(_) => {}
            None => self.held.push(Held { topic, series, frame }),
        }
    }
}

impl Hub {
    /// Begins a subscription to newest values with those that the store holds. What was published up to the last of
    /// them is among them, or older than they are, and does not come again.
    pub fn supply_newest(
        &mut self,
        request: &ReadRequest,
        values: impl IntoIterator<Item = (Offset, Series, Frame)>,
    ) {
        self.page_came(request);
        let Some((key, entry)) = self.waiting(request) else {
            return;
        };
        let values: Vec<_> = values.into_iter().collect();
        let last = values.iter().map(|(offset, ..)| *offset).max().unwrap_or_default();
        if let Some(subscriber) = entry.subscriber(request.connection) {
            subscriber.mode = Mode::Live;
            subscriber.position = subscriber.position.max(last);
        }
        let newest = self.readers[request.connection].newest.get_or_insert_default();
        newest.waiting.retain(|waiting| *waiting != key);
        for (_, series, frame) in values {
            newest.begin_with(key, series, frame);
        }
    }

    /// Queues what was held back for the connection, unless it is still busy. Where values were merged,
    /// `notice` makes the message that says how many, and it comes before them.
    pub fn release(&mut self, connection: ConnectionKey, notice: impl Fn(&Topic, u64) -> Frame) {
        let Some(reader) = self.readers.get_mut(connection) else { return };
        if reader.is_blocked() || reader.outbox.bytes() >= self.budget_bytes {
            return;
        }
        let Some(mut newest) = reader.newest.take() else { return };
        let (kept, released) = newest.held.into_iter().partition(|held| newest.waiting.contains(&held.topic));
        newest.held = kept;
        let released: Vec<Held> = released;
        let (kept, told) = newest.merged.into_iter().partition(|(topic, _)| newest.waiting.contains(topic));
        newest.merged = kept;
        let told: Vec<(TopicKey, u64)> = told;
        if !newest.is_empty() {
            reader.newest = Some(newest);
        }
        let notices = told.iter().map(|(topic, merged)| notice(&self.topics[*topic].name, *merged));
        let frames: Vec<Frame> = notices.collect();
        for frame in frames.into_iter().chain(released.into_iter().map(|held| held.frame)) {
            self.send(connection, frame);
        }
    }
}

#[cfg(test)]
mod tests;
