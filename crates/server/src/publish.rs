//! From a commit to the shards.

use std::sync::{Arc, OnceLock};

use healthmate_hub::Hub;
use healthmate_protocol::server::event_text;
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
            hub.publish(&event.topic, event.offset, || frame.get_or_init(|| event_frame(event)).clone())
        };
        self.events.iter().map(publish).sum()
    }
}

/// The event as it goes over the wire. Live and replayed events are the same bytes.
pub(crate) fn event_frame(event: &Event) -> Frame {
    let Event { topic, offset, kind, recorded_at, payload } = event;
    Frame::text(&event_text(kind.as_str(), *recorded_at, topic, *offset, payload))
}

/// What the store calls after each commit: hands the events to every shard, with one wake-up each.
pub(crate) fn listener(
    shards: Vec<Arc<ShardHandle>>,
    counted: impl Fn(usize) + Send + Sync + 'static,
) -> CommitListener {
    Arc::new(move |events| {
        counted(events.len());
        let committed = Arc::new(Committed::new(events));
        for shard in &shards {
            shard.publish(Arc::clone(&committed));
        }
    })
}
