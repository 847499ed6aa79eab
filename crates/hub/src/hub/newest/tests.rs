use std::collections::BTreeMap;
use std::io;

use healthmate_protocol::{Delivery, Interest, Offset};
use proptest::prelude::*;

use super::*;
use crate::flush::Flushed;
use crate::hub::Published;

const LATEST: Interest = Interest { delivery: Delivery::Latest, waveform: false, presence: false };

fn topic() -> Topic {
    "health:p1".parse().expect("valid")
}

/// One reader of newest values, and its socket.
struct World {
    hub: Hub,
    reader: ConnectionKey,
    offset: u64,
    room: usize,
    blocked: bool,
    /// What arrived, in order.
    received: Vec<String>,
}

impl World {
    fn new() -> Self {
        let mut hub = Hub::new(1000);
        let reader = hub.connect();
        hub.subscribe(reader, &topic(), LATEST, Offset(0), Offset(0));
        Self { hub, reader, offset: 0, room: usize::MAX, blocked: false, received: Vec::new() }
    }

    fn publish(&mut self, id: u32, at: i64) {
        self.offset += 1;
        let text = format!("{id}@{at}");
        let event = (Some(Series { id, at }), Frame::text(&text));
        self.hub.publish(&topic(), &Published::new(Offset(self.offset), vec![event]));
    }

    /// Begins with these values, the newest of what was published so far.
    fn begin(&mut self, values: &[(u32, i64)]) {
        let request = self.hub.next_read().expect("the newest values are asked for");
        assert_eq!(request.delivery, Delivery::Latest);
        let last = Offset(self.offset);
        let value =
            |(id, at): &(u32, i64)| (last, Series { id: *id, at: *at }, Frame::text(&format!("{id}@{at}")));
        self.hub.supply_newest(&request, values.iter().map(value));
        self.release();
    }

    fn release(&mut self) {
        self.hub.release(self.reader, |topic, merged| Frame::text(&format!("{topic} {merged}")));
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.blocked) {
            self.hub.writable(self.reader);
        }
        loop {
            let (room, received) = (&mut self.room, &mut self.received);
            let write = |_, bytes: &[u8]| {
                if *room == 0 {
                    return Err(io::Error::from(io::ErrorKind::WouldBlock));
                }
                *room = room.saturating_sub(1);
                let mut rest = bytes;
                while let [_, length, tail @ ..] = rest {
                    let (text, tail) = tail.split_at(usize::from(*length));
                    received.push(String::from_utf8(text.to_vec()).expect("UTF-8"));
                    rest = tail;
                }
                Ok(bytes.len())
            };
            match self.hub.flush_next(write) {
                None => return,
                Some((_, Flushed::Holding)) => self.release(),
                Some((_, Flushed::Blocked)) => self.blocked = true,
                Some((_, Flushed::Done)) => {}
                Some((_, other)) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_newest_values_come_first_then_live_ones() {
    let mut world = World::new();
    // While the store is read, one comes that is newer than what it holds, and one that was taken earlier.
    world.publish(1, 50);
    world.publish(2, 10);
    world.begin(&[(1, 40), (2, 30), (3, 20)]);
    world.publish(1, 60);
    world.flush();
    assert_eq!(world.received, ["1@50", "2@30", "3@20", "1@60"]);
    assert_eq!(world.hub.traffic().merged, 0);
}

#[test]
fn what_the_store_held_already_does_not_come_again() {
    let mut world = World::new();
    // Committed before the store was read, and told of afterwards.
    world.offset = 2;
    world.begin(&[(1, 20)]);
    world.offset = 0;
    world.publish(1, 10);
    world.publish(1, 20);
    world.publish(1, 30);
    world.flush();
    assert_eq!(world.received, ["1@20", "1@30"]);
}

#[test]
fn a_reader_that_keeps_up_gets_every_value() {
    let mut world = World::new();
    world.begin(&[]);
    for at in 1..=5 {
        world.publish(1, at);
    }
    world.flush();
    assert_eq!(world.received, ["1@1", "1@2", "1@3", "1@4", "1@5"]);
}

#[test]
fn a_slow_reader_gets_the_newest_of_each_and_the_count_of_the_rest() {
    let mut world = World::new();
    world.begin(&[]);
    world.room = 0;
    world.publish(1, 1);
    world.flush();
    for at in 2..=9 {
        world.publish(1, at);
        world.publish(2, at);
    }
    // Taken before, sent late: it is not the newest.
    world.publish(2, 3);
    world.room = usize::MAX;
    world.flush();
    assert_eq!(world.received, ["1@1", "health:p1 15", "1@9", "2@9"]);
    assert_eq!(world.hub.traffic().merged, 15);
    world.publish(1, 10);
    world.flush();
    assert_eq!(world.received.last().expect("live again"), "1@10");
}

#[test]
fn nothing_is_kept_of_a_topic_that_is_left() {
    let mut world = World::new();
    world.begin(&[]);
    world.room = 0;
    world.publish(1, 1);
    world.flush();
    world.publish(1, 2);
    assert!(world.hub.readers[world.reader].newest.is_some());
    world.hub.unsubscribe(world.reader, &topic());
    assert!(world.hub.readers[world.reader].newest.is_none());
    world.room = usize::MAX;
    world.flush();
    assert_eq!(world.received, ["1@1"]);
}

proptest! {
    /// However slow the reader is, in the end it has the newest value of each series, and what it received and what
    /// it was told of is all there was.
    #[test]
    fn the_newest_arrives_and_the_rest_is_accounted_for(
        steps in prop::collection::vec((0u32..3, 0i64..20, 0usize..4), 1..80), begin_at in 0usize..80,
    ) {
        let mut world = World::new();
        let mut newest = BTreeMap::<u32, i64>::new();
        let mut began = false;
        for (index, (id, at, room)) in steps.iter().enumerate() {
            if index == begin_at.min(steps.len() - 1) {
                world.begin(&[]);
                began = true;
            }
            world.publish(*id, *at);
            newest.entry(*id).and_modify(|known| *known = (*known).max(*at)).or_insert(*at);
            world.room = *room;
            world.flush();
        }
        prop_assert!(began);
        world.room = usize::MAX;
        world.flush();
        let told = |text: &String| text.strip_prefix("health:p1 ").map(|count| count.parse::<usize>().expect("a count"));
        let merged: usize = world.received.iter().filter_map(told).sum();
        let values: Vec<(u32, i64)> = world.received.iter().filter(|text| told(text).is_none()).map(|text| {
            let (id, at) = text.split_once('@').expect("a value");
            (id.parse().expect("id"), at.parse().expect("at"))
        }).collect();
        prop_assert_eq!(values.len() + merged, steps.len());
        for (id, at) in newest {
            let best = values.iter().filter(|(known, _)| *known == id).map(|(_, at)| *at).max();
            prop_assert_eq!(best, Some(at));
        }
        prop_assert!(world.hub.readers[world.reader].newest.is_none());
    }
}
