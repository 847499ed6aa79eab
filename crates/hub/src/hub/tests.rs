use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;

use healthmate_protocol::UserId;
use proptest::prelude::*;

use super::*;
use crate::flush::Flushed;
use crate::run::Run;

fn topic(name: usize) -> Topic {
    Topic::health(UserId::new(&format!("p{name}")).expect("valid"))
}

/// A frame whose text says which event it is.
fn frame(topic: &Topic, offset: u64) -> Frame {
    Frame::text(&format!("{topic} {offset:06}"))
}

fn publish(hub: &mut Hub, topic: &Topic, offset: u64) -> usize {
    hub.publish(topic, &Published::new(Offset(offset), vec![(None, frame(topic, offset))]))
}

/// What arrived at one socket: the offsets of each topic, in order.
#[derive(Default)]
struct Socket {
    bytes: Vec<u8>,
    /// How much it takes before it blocks.
    room: usize,
}

impl Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn received(&self) -> BTreeMap<String, Vec<u64>> {
        let mut events: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut rest = self.bytes.as_slice();
        while let [_, length, tail @ ..] = rest {
            let Some(text) = tail.get(..*length as usize) else {
                break;
            };
            let text = std::str::from_utf8(text).expect("UTF-8");
            let (topic, offset) = text.split_once(' ').expect("topic and offset");
            events.entry(topic.to_owned()).or_default().push(offset.parse().expect("a number"));
            rest = &tail[*length as usize..];
        }
        events
    }
}

/// A hub, the log behind it and the sockets before it.
struct World {
    hub: Hub,
    /// The newest offset of each topic.
    log: Vec<u64>,
    sockets: BTreeMap<ConnectionKey, Socket>,
    /// Where each subscription started.
    started: BTreeMap<(ConnectionKey, usize), u64>,
    requests: Vec<ReadRequest>,
    blocked: Vec<ConnectionKey>,
    /// What is committed and not published yet.
    letters: VecDeque<(usize, u64)>,
}

const PAGE: u64 = 3;

impl World {
    fn new(budget: usize) -> Self {
        Self {
            hub: Hub::new(budget),
            log: vec![0; 3],
            sockets: BTreeMap::new(),
            started: BTreeMap::new(),
            requests: Vec::new(),
            blocked: Vec::new(),
            letters: VecDeque::new(),
        }
    }

    fn connect(&mut self) -> ConnectionKey {
        let key = self.hub.connect();
        self.sockets.insert(key, Socket::default());
        key
    }

    /// Stores an event. Its publication is on its way, or lost.
    fn commit(&mut self, name: usize, lost: bool) {
        self.log[name] += 1;
        if !lost {
            self.letters.push_back((name, self.log[name]));
        }
    }

    /// Publishes what is on its way.
    fn publish(&mut self, count: usize) {
        let letters: Vec<_> = self.letters.drain(..count.min(self.letters.len())).collect();
        // Neighbours of a topic go together, as far as a page.
        let neighbours = letters.chunk_by(|(name, offset), next| (*name, offset + 1) == *next);
        for run in neighbours.flat_map(|run| run.chunks(PAGE as usize)) {
            let (name, first) = run[0];
            let each = run.iter().map(|(_, offset)| (None, frame(&topic(name), *offset))).collect();
            self.hub.publish(&topic(name), &Published::new(Offset(first), each));
        }
    }

    fn subscribe(&mut self, key: ConnectionKey, name: usize, start: u64, assured: bool) {
        self.started.insert((key, name), start);
        self.hub.subscribe(key, &topic(name), Interest::default(), Offset(start), Offset(start));
        if assured {
            self.hub.assure(key, &topic(name), Offset(self.log[name]));
        }
    }

    fn flush(&mut self, room: usize) {
        for key in self.blocked.drain(..) {
            self.hub.writable(key);
        }
        let sockets = RefCell::new(&mut self.sockets);
        for socket in sockets.borrow_mut().values_mut() {
            socket.room = room;
        }
        let write = |key, bytes: &[u8]| sockets.borrow_mut().get_mut(&key).expect("known").write(bytes);
        while let Some((key, flushed)) = self.hub.flush_next(write) {
            match flushed {
                Flushed::Blocked => self.blocked.push(key),
                Flushed::Done => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn ask(&mut self) {
        while let Some(request) = self.hub.next_read() {
            self.requests.push(request);
        }
    }

    /// Answers a request with what the log holds `now`, or fails it.
    fn answer(&mut self, which: usize, well: bool) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(which % self.requests.len());
        if !well {
            return self.hub.fail(&request);
        }
        let name = (0..3).find(|name| topic(*name) == request.topic).expect("known");
        let last = self.log[name].min(request.after.0 + PAGE);
        let page = (request.after.0 + 1..=last).map(|offset| (Offset(offset), frame(&request.topic, offset)));
        let at_end = last == self.log[name];
        if request.number.is_multiple_of(2) {
            // Shared with others, for whom it begins earlier.
            let after = request.after.0.saturating_sub(2);
            let run = Run::new(Offset(after), (after + 1..=last).map(|offset| frame(&topic(name), offset)));
            self.hub.supply_run(&request, &run, at_end);
        } else {
            self.hub.supply(&request, request.after, page.collect::<Vec<_>>(), at_end);
        }
    }

    fn settle(&mut self) {
        self.publish(usize::MAX);
        for _ in 0..200 {
            self.hub.retry_reads();
            self.ask();
            while !self.requests.is_empty() {
                self.answer(0, true);
            }
            self.flush(usize::MAX);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Connect,
    Subscribe { which: usize, name: usize, back: u64, assured: bool },
    Unsubscribe { which: usize, name: usize },
    Disconnect { which: usize },
    Commit { name: usize, lost: bool },
    Publish { count: usize },
    Flush { room: usize },
    Ask,
    Answer { which: usize, well: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Connect),
        3 => (0usize..4, 0usize..3, 0u64..9, any::<bool>()).prop_map(|(which, name, back, assured)| {
            // Half of those who can be assured start at the head, where it makes a difference.
            Step::Subscribe { which, name, back: if assured { back / 5 } else { back }, assured }
        }),
        1 => (0usize..4, 0usize..3).prop_map(|(which, name)| Step::Unsubscribe { which, name }),
        1 => (0usize..4).prop_map(|which| Step::Disconnect { which }),
        12 => (0usize..3, prop::bool::weighted(0.1)).prop_map(|(name, lost)| Step::Commit { name, lost }),
        8 => (1usize..4).prop_map(|count| Step::Publish { count }),
        5 => (0usize..200).prop_map(|room| Step::Flush { room }),
        4 => Just(Step::Ask),
        6 => (0usize..9, prop::bool::weighted(0.9)).prop_map(|(which, well)| Step::Answer { which, well }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// Stale state and events are fresh state: whatever is committed, lost on the way, read, blocked and flushed in
    /// whatever order, each subscription gets every event after its start, once, in order, and memory stays within
    /// the byte budget and one page.
    #[test]
    fn every_event_arrives_once_and_in_order(steps in steps(), budget in 20usize..200) {
        let mut world = World::new(budget);
        let first = world.connect();
        let mut keys = vec![first];
        for step in steps {
            match step {
                Step::Connect if keys.len() < 4 => keys.push(world.connect()),
                Step::Connect => {}
                Step::Subscribe { which, name, back, assured } => {
                    let key = keys[which % keys.len()];
                    // One subscription a topic in a connection's life, so that what arrived can be told apart.
                    if world.sockets.contains_key(&key) && !world.started.contains_key(&(key, name)) {
                        let start = world.log[name].saturating_sub(back);
                        world.subscribe(key, name, start, assured);
                    }
                }
                Step::Unsubscribe { which, name } => {
                    let key = keys[which % keys.len()];
                    world.hub.unsubscribe(key, &topic(name));
                    // What arrived until now stays a run without holes; it need not reach the head.
                    if let Some(start) = world.started.get_mut(&(key, name)) {
                        *start |= 1 << 63;
                    }
                }
                Step::Disconnect { which } => {
                    let key = keys[which % keys.len()];
                    world.hub.disconnect(key);
                    world.sockets.remove(&key);
                    world.started.retain(|(connection, _), _| *connection != key);
                }
                Step::Commit { name, lost } => world.commit(name, lost),
                Step::Publish { count } => world.publish(count),
                Step::Flush { room } => world.flush(room),
                Step::Ask => world.ask(),
                Step::Answer { which, well } => world.answer(which, well),
            }
            for key in world.sockets.keys() {
                let page = PAGE as usize * 30;
                prop_assert!(world.hub.queued_bytes(*key) <= budget + page);
            }
            let queued: usize = world.sockets.keys().map(|key| world.hub.queued_bytes(*key)).sum();
            prop_assert_eq!(world.hub.traffic().queued_bytes, queued as u64);
        }
        // One more event each, so that a lost last one is noticed; then let everything drain.
        for name in 0..3 {
            world.commit(name, false);
        }
        world.settle();
        for ((key, name), start) in &world.started {
            let (start, ended) = (start & !(1 << 63), start >> 63 == 1);
            let got = world.sockets[key].received().remove(&topic(*name).to_string()).unwrap_or_default();
            let last = if ended { start + got.len() as u64 } else { world.log[*name] };
            prop_assert_eq!(got, (start + 1..=last).collect::<Vec<_>>(), "{:?} {}", key, name);
        }
    }
}

#[test]
fn a_reader_that_is_live_reads_nothing() {
    let mut world = World::new(1000);
    let key = world.connect();
    world.hub.subscribe(key, &topic(0), Interest::default(), Offset(0), Offset(0));
    world.settle();
    world.commit(0, false);
    world.publish(1);
    assert_eq!(world.hub.next_read(), None);
    world.flush(usize::MAX);
    assert_eq!(world.sockets[&key].received()["health:p0"], [1]);
}

#[test]
fn a_log_that_starts_later_is_delivered_from_there() {
    let mut hub = Hub::new(1000);
    let key = hub.connect();
    hub.subscribe(key, &topic(0), Interest::default(), Offset(2), Offset(2));
    publish(&mut hub, &topic(0), 9);
    let request = hub.next_read().expect("behind");
    // 3 to 9 are gone from the log.
    hub.supply(&request, Offset(9), [], true);
    assert_eq!(hub.next_read(), None);
    assert_eq!(publish(&mut hub, &topic(0), 10), 1);
}

#[test]
fn the_last_subscriber_takes_the_topic_with_it() {
    let mut hub = Hub::new(1000);
    let key = hub.connect();
    hub.subscribe(key, &topic(0), Interest::default(), Offset(0), Offset(0));
    assert_eq!(hub.counts(), (1, 1));
    hub.unsubscribe(key, &topic(0));
    assert_eq!(hub.counts(), (1, 0));
    hub.subscribe(key, &topic(1), Interest::default(), Offset(0), Offset(0));
    hub.disconnect(key);
    assert_eq!(hub.counts(), (0, 0));
    assert!(hub.names.is_empty() && hub.topics.is_empty());
}

#[test]
fn heads_tell_of_events_that_have_not_arrived() {
    let mut hub = Hub::new(1000);
    let key = hub.connect();
    hub.subscribe(key, &topic(0), Interest::default(), Offset(4), Offset(6));
    assert_eq!(hub.heads(key).map(|(_, head)| head).collect::<Vec<_>>(), [Offset(6)]);
    publish(&mut hub, &topic(0), 7);
    assert_eq!(hub.heads(key).map(|(_, head)| head).collect::<Vec<_>>(), [Offset(7)]);
}

#[test]
fn a_subscription_that_is_assured_of_the_head_reads_nothing() {
    let mut world = World::new(1000);
    let (first, second) = (world.connect(), world.connect());
    for _ in 0..3 {
        world.commit(0, false);
    }
    // The three are stored and on their way when the first subscribes.
    world.subscribe(first, 0, 3, true);
    world.subscribe(second, 0, 1, true);
    let request = world.hub.next_read().expect("the second is behind");
    assert_eq!((request.connection, request.after), (second, Offset(1)));
    assert_eq!(world.hub.next_read(), None);
    world.commit(0, false);
    world.publish(4);
    world.flush(usize::MAX);
    assert_eq!(world.sockets[&first].received()["health:p0"], [4]);
}

#[test]
fn who_heard_of_a_newer_event_is_not_assured() {
    let mut hub = Hub::new(1000);
    let key = hub.connect();
    hub.subscribe(key, &topic(0), Interest::default(), Offset(4), Offset(4));
    publish(&mut hub, &topic(0), 6);
    hub.assure(key, &topic(0), Offset(4));
    assert_eq!(hub.next_read().map(|request| request.after), Some(Offset(4)));
}

#[test]
fn of_events_that_come_together_each_reader_gets_what_is_new_to_it() {
    let mut world = World::new(1000);
    let [old, behind, new] = [0, 2, 5].map(|position| {
        let key = world.connect();
        world.hub.subscribe(key, &topic(0), Interest::default(), Offset(position), Offset(position));
        world.hub.assure(key, &topic(0), Offset(position));
        key
    });
    let each = (1..=4).map(|offset| (None, frame(&topic(0), offset))).collect();
    let delivered = world.hub.publish(&topic(0), &Published::new(Offset(1), each));
    assert_eq!((delivered, world.hub.traffic().frames), (4 + 2, 6));
    world.flush(usize::MAX);
    let received = |key| world.sockets[&key].received().remove("health:p0").unwrap_or_default();
    assert_eq!([received(old), received(behind), received(new)], [vec![1, 2, 3, 4], vec![3, 4], vec![]]);
    assert_eq!(world.hub.next_read(), None);
}
