//! Events that nobody stores: sent to those who keep up, dropped for the rest.

use std::cell::LazyCell;

use healthmate_protocol::{Ephemeral, Topic};
use healthmate_ws::Frame;

use super::publish::mark;
use super::{Hub, low_water};

impl Hub {
    /// Queues `count` ephemeral events, whose frames are joined in one, for everyone on the topic who asked for their
    /// kind and keeps up: whose outbox holds less than a quarter of its budget, so that what passes never takes the
    /// room of what lasts. Others miss them, and that is counted. Returns how many deliveries were queued.
    pub fn broadcast(
        &mut self,
        topic: &Topic,
        kind: Ephemeral,
        count: usize,
        frame: impl FnOnce() -> Frame,
    ) -> usize {
        let Some(&key) = self.names.get(topic) else {
            return 0;
        };
        let frame = LazyCell::new(frame);
        let room = low_water(self.budget_bytes);
        let mut delivered = 0;
        for subscriber in &self.topics[key].subscribers {
            if !subscriber.interest.includes(kind) {
                continue;
            }
            let Some(reader) = self.readers.get_mut(subscriber.connection) else {
                continue;
            };
            if reader.outbox.bytes() > room {
                self.traffic.dropped += count as u64;
                continue;
            }
            self.traffic.queue(count, reader.outbox.push(Frame::clone(&frame)));
            delivered += count;
            mark(&mut self.dirty, reader, subscriber.connection);
        }
        delivered
    }
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::{Delivery, Interest, Offset};

    use super::*;
    use crate::flush::Flushed;

    #[test]
    fn those_who_asked_and_keep_up_hear_it() {
        let mut hub = Hub::new(400);
        let topic: Topic = "health:p1".parse().expect("valid");
        let both = Interest { delivery: Delivery::Durable, waveform: true, presence: true };
        let interests = [Interest::default(), Interest { presence: false, ..both }, both];
        let readers = interests.map(|interest| {
            let reader = hub.connect();
            hub.subscribe(reader, &topic, interest, Offset(0), Offset(0));
            reader
        });
        let wave = || Frame::text(&"w".repeat(78));
        assert_eq!(hub.broadcast(&topic, Ephemeral::Waveform, 1, wave), 2);
        assert_eq!(hub.broadcast(&topic, Ephemeral::Presence, 1, || Frame::text("p")), 1);
        assert_eq!(readers.map(|reader| hub.queued_bytes(reader)), [0, 80, 83]);
        // Neither is flushed: the third chunk finds more than a quarter of the budget waiting.
        assert_eq!(hub.broadcast(&topic, Ephemeral::Waveform, 1, wave), 2);
        assert_eq!(hub.broadcast(&topic, Ephemeral::Waveform, 1, wave), 0);
        assert_eq!(hub.traffic().dropped, 2);
        while let Some((_, flushed)) = hub.flush_next(|_, bytes| Ok(bytes.len())) {
            assert!(matches!(flushed, Flushed::Done));
        }
        assert_eq!(hub.broadcast(&topic, Ephemeral::Waveform, 1, wave), 2, "whoever reads again hears again");
        let elsewhere = "health:p2".parse().expect("valid");
        assert_eq!(hub.broadcast(&elsewhere, Ephemeral::Waveform, 1, || panic!("nobody asks")), 0);
    }
}
