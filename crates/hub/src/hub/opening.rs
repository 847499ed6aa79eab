//! How connections and subscriptions begin, where that can be cheap.

use bytes::Bytes;
use healthmate_protocol::{Delivery, Offset, Topic};

use crate::hub::{ConnectionKey, Hub};
use crate::topic::Mode;

impl Hub {
    /// Queues what goes before the first frame, the answer to the handshake. It leaves with that frame, in one write.
    pub fn send_head(&mut self, connection: ConnectionKey, head: Bytes) {
        let Some(reader) = self.readers.get_mut(connection) else { return };
        self.traffic.queued_bytes += head.len() as u64;
        reader.outbox.push_head(head);
    }

    /// Says that `head` is the topic's newest event, and that each later one has yet to be published here. A
    /// subscription that stands at `head` and is about to read has nothing to read, then, and goes live at once.
    pub fn assure(&mut self, connection: ConnectionKey, topic: &Topic, head: Offset) {
        let Some(&key) = self.names.get(topic) else { return };
        let entry = &mut self.topics[key];
        let nothing_newer = entry.head <= head;
        let Some(subscriber) = entry.subscriber(connection) else { return };
        if subscriber.interest.delivery == Delivery::Latest {
            // What it waits for are the newest values, however old.
            return;
        }
        if !nothing_newer || subscriber.position != head || subscriber.mode != Mode::Behind {
            return;
        }
        subscriber.mode = Mode::Live;
        if let Some(reader) = self.readers.get_mut(connection) {
            reader.behind -= 1;
        }
        // A request that stays in the queue is passed over when its turn comes.
        if self.reads.back() == Some(&(connection, key)) {
            self.reads.pop_back();
        }
    }
}
