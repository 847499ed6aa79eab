//! From a commit to the shards.

use std::sync::{Arc, OnceLock};

use healthmate_hub::{Hub, Series};
use healthmate_protocol::server::event_text;
use healthmate_protocol::{Ephemeral, Topic};
use healthmate_storage::{CommitListener, Event};
use healthmate_ws::Frame;

use crate::shard::ShardHandle;

/// The events of one commit, on their way to every shard. Each is encoded at most once, by the first shard where
/// somebody listens.
#[derive(Debug)]
pub(crate) struct Committed {
    events: Vec<(Event, OnceLock<Frame>)>,
}

impl Committed {
    fn new(events: &[Event]) -> Self {
        Self { events: events.iter().map(|event| (event.clone(), OnceLock::new())).collect() }
    }

    /// Queues the events for everyone on this shard who hears them, and says how many times.
    pub(crate) fn publish(&self, hub: &mut Hub) -> usize {
        let publish = |(event, frame): &(Event, OnceLock<Frame>)| {
            let series = event.series.map(series);
            hub.publish(&event.topic, event.offset, series, || {
                frame.get_or_init(|| event_frame(event)).clone()
            })
        };
        self.events.iter().map(publish).sum()
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

    /// Queues the event for everyone on this shard who asked for it and keeps up, and says for how many.
    pub(crate) fn publish(&self, hub: &mut Hub) -> usize {
        hub.broadcast(&self.topic, self.kind, || self.frame.clone())
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
