//! From a commit to the shards.

use std::sync::{Arc, OnceLock};

use healthmate_hub::{Hub, Published, Series};
use healthmate_protocol::server::event_text;
use healthmate_protocol::{Ephemeral, Topic};
use healthmate_storage::{CommitListener, Event};
use healthmate_ws::Frame;

use crate::shard::ShardHandle;

/// How many events are queued as one thing at most: so many are written with hardly more work than one, and a slow
/// reader's budget is not much exceeded by one of them.
const TOGETHER: usize = 32;

/// The events of one commit, on their way to every shard. Each is encoded at most once, by the first shard where
/// somebody listens.
#[derive(Debug)]
pub(crate) struct Committed {
    runs: Vec<Neighbours>,
}

/// Events of one topic with neighbouring offsets.
#[derive(Debug)]
struct Neighbours {
    events: Vec<Event>,
    published: OnceLock<Published>,
}

impl Committed {
    fn new(events: &[Event]) -> Self {
        let neighbours =
            |one: &Event, next: &Event| one.topic == next.topic && one.offset.next() == next.offset;
        let runs = events.chunk_by(neighbours).flat_map(|run| run.chunks(TOGETHER));
        Self {
            runs: runs.map(|run| Neighbours { events: run.to_vec(), published: OnceLock::new() }).collect(),
        }
    }

    /// Queues the events for everyone on this shard who hears them, and says how many times.
    pub(crate) fn publish(&self, hub: &mut Hub) -> usize {
        self.runs.iter().map(|run| run.publish(hub)).sum()
    }
}

impl Neighbours {
    fn publish(&self, hub: &mut Hub) -> usize {
        let Some(first) = self.events.first().filter(|first| hub.is_heard(&first.topic)) else {
            return 0;
        };
        let each =
            || self.events.iter().map(|event| (event.series.map(series), event_frame(event))).collect();
        let published = self.published.get_or_init(|| Published::new(first.offset, each()));
        hub.publish(&first.topic, published)
    }
}

/// An ephemeral event, on its way to every shard.
#[derive(Debug)]
pub(crate) struct Broadcast {
    topic: Topic,
    kind: Ephemeral,
    frame: Frame,
}

impl Broadcast {
    /// An event of `topic`, encoded once for all.
    pub(crate) fn new(topic: Topic, kind: Ephemeral, text: &str) -> Self {
        Self { topic, kind, frame: Frame::text(text) }
    }

    /// Queues events for everyone on this shard who asked for them and keeps up, and says how many times. What came
    /// together is queued as one.
    pub(crate) fn publish(events: &[Arc<Self>], hub: &mut Hub) -> usize {
        let alike = |one: &Arc<Self>, next: &Arc<Self>| one.topic == next.topic && one.kind == next.kind;
        let together = events.chunk_by(alike).flat_map(|run| run.chunks(TOGETHER));
        together.map(|run| Self::publish_run(run, hub)).sum()
    }

    fn publish_run(run: &[Arc<Self>], hub: &mut Hub) -> usize {
        let Some(first) = run.first() else { return 0 };
        hub.broadcast(&first.topic, first.kind, run.len(), || match run {
            [only] => only.frame.clone(),
            several => Frame::joined(several.iter().map(|event| &event.frame)),
        })
    }
}

/// Which events replace each other for readers of newest values: those of one metric of the topic's patient.
pub(crate) fn series(series: healthmate_storage::Series) -> Series {
    Series { id: series.metric as u32, at: series.taken_at.as_micros() }
}

/// The event as it goes over the wire. Live and replayed events are the same bytes.
pub(crate) fn event_frame(event: &Event) -> Frame {
    let Event { topic, offset, kind, recorded_at, payload, .. } = event;
    Frame::text(&event_text(kind.as_str(), *recorded_at, topic, *offset, payload))
}

/// What the store calls after each commit: hands the events to every shard, with one wake-up each. `first` is told
/// before any of them.
pub(crate) fn listener(
    shards: Vec<Arc<ShardHandle>>,
    first: impl Fn(&[Event]) + Send + Sync + 'static,
) -> CommitListener {
    Arc::new(move |events| {
        first(events);
        let committed = Arc::new(Committed::new(events));
        for shard in &shards {
            shard.publish(Arc::clone(&committed));
        }
    })
}
