//! A server with its readers and publishers connected, ready to be measured again and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use healthmate_care::Clock;

use super::clock;
use super::door::admit;
use super::frame::{self, Numbered};
use super::measure::{Meter, Segment};
use super::net::{Net, Received, Sockets};
use super::statistics::Histogram;
use super::target::Target;

/// How long a server warms up under its load before it is measured, in nanoseconds.
const WARM_UP_NS: u64 = 300_000_000;

/// How long what is on its way may take to arrive after the end, in nanoseconds. What comes later counts as lost.
const DRAIN_NS: u64 = 3_000_000_000;

/// How many connections are let in at once.
const TOGETHER: usize = 64;

/// When the next message is published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// To the first topic: one message, whenever the one before has reached all readers.
    Lone,
    /// To the first topic: so many in one write, whenever fewer than that are on their way to the average reader: a
    /// sliding window of up to twice as many.
    Bursts(u64),
    /// To the first topic: so many a second, whatever happens.
    Rate(f64),
    /// To all topics in turn, one at a time each, so many in all.
    Topics(usize),
}

/// A topic under load.
struct Topic {
    /// The socket of its publisher.
    publisher: usize,
    readers: u32,
    /// The number of the newest message.
    published: u64,
    /// How many messages have reached all readers.
    done: u64,
    /// How many deliveries are on their way.
    left: u64,
    /// What is on its way, by the last bits of its number.
    flights: Box<[Flight]>,
}

impl Topic {
    fn flight(&mut self, number: u64) -> &mut Flight {
        let place = number as usize & (self.flights.len() - 1);
        &mut self.flights[place]
    }

    /// One reader more is through with a message; says whether it was the last one.
    fn arrived(&mut self, number: u64) -> bool {
        let flight = self.flight(number);
        // What is through already is not counted again.
        if flight.left == 0 {
            return false;
        }
        flight.left -= 1;
        let is_last = flight.left == 0;
        self.left = self.left.saturating_sub(1);
        if is_last {
            self.done += 1;
        }
        is_last
    }
}

#[derive(Clone, Copy, Default)]
struct Flight {
    /// When it should have been sent, by the pace.
    due: u64,
    /// How many readers have not received it.
    left: u32,
}

/// Who hears a topic.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    topic: usize,
    /// The number of the last message received.
    last: u64,
}

/// What the readers have received.
#[derive(Default)]
struct Tally {
    deliveries: u64,
    /// Messages that were skipped or came twice.
    wrong: u64,
    latency: Histogram,
}

/// A server with everybody connected.
pub(crate) struct Stage {
    pub(crate) target: Target,
    net: Net,
    clock: Arc<dyn Clock>,
    topics: Vec<Topic>,
    /// By socket; publishers hear nothing.
    readers: Vec<Option<Reader>>,
    numbered: Numbered,
    tally: Tally,
    /// Topics with nothing on its way, while they take turns.
    free: VecDeque<usize>,
    text: String,
    out: Vec<u8>,
}

impl Stage {
    /// Connects a publisher to each of the first `topics` topics, and `readers` readers to each.
    pub(crate) fn set(
        target: Target,
        clock: &Arc<dyn Clock>,
        topics: usize,
        readers: usize,
    ) -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        let address = target.process().address();
        let heard = (0..topics * readers).map(|number| number / readers);
        let guests = heard.clone().enumerate().map(|(number, topic)| target.reader(number, &[topic]));
        let guests = guests.collect::<Result<Vec<_>, _>>()?;
        let speech = target.speech();
        let mut heads = vec![0; topics];
        let mut numbered = Numbered::after("\"head\":");
        admit(&mut net, address, &guests, TOGETHER, |guest, reply| {
            heads[guest / readers] = speech.begins_after(numbered.read(reply).unwrap_or(0));
        })?;
        let guests = (0..topics).map(|topic| target.publisher(topic)).collect::<Result<Vec<_>, _>>()?;
        let first = admit(&mut net, address, &guests, TOGETHER, |_, _| {})?;
        let flights = if topics == 1 { 1 << 16 } else { 16 };
        let topic = |(number, head): (usize, &u64)| Topic {
            publisher: first + number,
            readers: readers as u32,
            published: *head,
            done: *head,
            left: 0,
            flights: vec![Flight::default(); flights].into_boxed_slice(),
        };
        let mut all: Vec<_> = heard.map(|topic| Some(Reader { topic, last: heads[topic] })).collect();
        all.resize(first + topics, None);
        Ok(Self {
            net,
            clock: Arc::clone(clock),
            topics: heads.iter().enumerate().map(topic).collect(),
            readers: all,
            numbered: Numbered::after(speech.number()),
            tally: Tally::default(),
            free: (0..topics).collect(),
            text: String::new(),
            out: Vec::new(),
            target,
        })
    }

    /// Publishes at this pace, and measures for so many seconds.
    pub(crate) fn run(&mut self, pace: Pace, seconds: f64) -> anyhow::Result<Segment> {
        let began = clock::nanos();
        let mut due = began;
        while clock::nanos() < began + WARM_UP_NS {
            self.publish(pace, &mut due)?;
            self.turn()?;
        }
        self.tally = Tally::default();
        let meter = Meter::begin(self.target.process());
        let until = clock::nanos() + (seconds * 1e9) as u64;
        while clock::nanos() < until {
            self.publish(pace, &mut due)?;
            self.turn()?;
        }
        let mut segment = meter.end(self.target.process());
        segment.deliveries = self.tally.deliveries;
        self.drain()?;
        segment.lost = self.missing() + self.tally.wrong;
        segment.latency = std::mem::take(&mut self.tally.latency);
        Ok(segment)
    }

    fn publish(&mut self, pace: Pace, due: &mut u64) -> anyhow::Result<()> {
        let now = clock::nanos();
        match pace {
            Pace::Lone | Pace::Bursts(_) => {
                let (size, on_their_way) = match pace {
                    Pace::Bursts(size) => (size, self.topics[0].left / u64::from(self.topics[0].readers)),
                    _ => (1, self.topics[0].published.saturating_sub(self.topics[0].done)),
                };
                if on_their_way < size {
                    (0..size).for_each(|_| self.say(0, now));
                    self.send(0)?;
                }
            }
            Pace::Rate(per_s) => {
                while *due <= now {
                    self.say(0, *due);
                    *due += (1e9 / per_s) as u64;
                }
                self.send(0)?;
            }
            Pace::Topics(together) => {
                let idle = self.topics.len() - self.free.len();
                for _ in idle..together {
                    let Some(topic) = self.free.pop_front() else { break };
                    self.say(topic, now);
                    self.send(topic)?;
                }
            }
        }
        Ok(())
    }

    /// Prepares the next message of a topic.
    fn say(&mut self, number: usize, due: u64) {
        let topic = &mut self.topics[number];
        topic.published += 1;
        topic.left += u64::from(topic.readers);
        let place = topic.published as usize & (topic.flights.len() - 1);
        topic.flights[place] = Flight { due, left: topic.readers };
        self.text.clear();
        self.target.speech().write(number, topic.published, self.clock.now(), &mut self.text);
        frame::push_text(self.text.as_bytes(), &mut self.out);
    }

    /// Writes what was prepared.
    fn send(&mut self, topic: usize) -> anyhow::Result<()> {
        if !self.out.is_empty() {
            self.net.sockets().write(self.topics[topic].publisher, &self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Takes what has come. It does not sleep: being woken would be on the server's bill.
    fn turn(&mut self) -> anyhow::Result<()> {
        let heard = self.target.speech().heard();
        let Self { net, topics, readers, numbered, tally, free, .. } = self;
        net.turn(Duration::ZERO, |sockets: &mut Sockets, number, received| {
            let Received::Message(message) = received else { return Ok(()) };
            if !message.starts_with(heard) {
                return unless_error(message);
            }
            let Some(reader) = &mut readers[number] else { return Ok(()) };
            let Some(received) = numbered.read(message) else { bail!("a message without a number") };
            let (topic, expected) = (&mut topics[reader.topic], reader.last + 1);
            if received < expected {
                tally.wrong += 1;
                return Ok(());
            }
            // What was skipped, as ephemeral events may be, will not come any more.
            tally.wrong += received - expected;
            for number in expected..=received {
                if topic.arrived(number) {
                    free.push_back(reader.topic);
                }
            }
            reader.last = received;
            tally.deliveries += 1;
            tally.latency.add(sockets.read_at().saturating_sub(topic.flight(received).due));
            Ok(())
        })
    }

    fn missing(&self) -> u64 {
        let left = self.topics.iter().flat_map(|topic| topic.flights.iter());
        left.map(|flight| u64::from(flight.left)).sum()
    }

    /// Waits for what is on its way.
    fn drain(&mut self) -> anyhow::Result<()> {
        let until = clock::nanos() + DRAIN_NS;
        while self.topics.iter().any(|topic| topic.published > topic.done) && clock::nanos() < until {
            self.turn()?;
        }
        Ok(())
    }
}

fn unless_error(message: &[u8]) -> anyhow::Result<()> {
    if message.starts_with(br#"{"type":"error""#) {
        bail!("the server answered {}", String::from_utf8_lossy(message));
    }
    Ok(())
}
