//! Readers that stop reading: what they cost the server and the other readers, and whether they miss anything.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::Bench;
use crate::bench::door::admit;
use crate::bench::frame::Numbered;
use crate::bench::house::Told;
use crate::bench::net::{Net, Received, Sockets};
use crate::bench::people::Census;
use crate::bench::report::Line;
use crate::bench::statistics::{Histogram, median};
use crate::bench::target::{Speech, Target};
use crate::bench::{clock, frame};

/// Readers that go on.
const QUICK: usize = 100;

/// Measurements in a batch, so that much comes in few commits.
const BATCH: usize = 25;

/// Batches a second: while all read, the server is busy for half of the time.
const RATE: u64 = 40;

/// Who does not read cannot answer a ping either: readers may stop here for longer than the dead are waited for.
const SETTINGS: &[Told] = &[("limits", "ping_after_s", "600"), ("limits", "gone_after_s", "1200")];

/// How long the quick ones may take for the last message, in nanoseconds.
const QUICK_PATIENCE_NS: u64 = 30_000_000_000;

/// How long the slow ones may take to catch up, in seconds.
const PATIENCE_S: f64 = 120.0;

/// A patient's device, and readers of whom some can stop.
struct Ward {
    target: Target,
    /// The quick readers, and last the device.
    quick: Net,
    slow: Net,
    published: u64,
    /// The number each reader received last, the quick ones first.
    last: Vec<u64>,
    wrong: u64,
    numbered: Numbered,
    /// When each batch was due.
    due: Vec<u64>,
    latency: Histogram,
}

/// How long it takes at most until the sockets of those who stopped are full, in seconds.
const FILLS_S: f64 = 0.5;

/// What the slow readers do at the beginning of a phase.
#[derive(Clone, Copy)]
enum Turn {
    GoOn,
    Stop,
    ReadOn,
}

/// What was seen in a phase, over all rounds.
struct Seen {
    load: &'static str,
    seconds: f64,
    latency: Histogram,
    /// The most resident memory at its end, in bytes.
    rss: u64,
}

impl Bench {
    /// Measures the quick readers while all read, while the slow ones do not, and while those catch up.
    pub(super) async fn slow(&self) -> anyhow::Result<Vec<Line>> {
        let readers = vec![vec![0]; QUICK + self.readers];
        let census = Census { patients: 1, devices: vec![0], readers, operator: false };
        let Some(target) = self.targets_of_no_class(&census, SETTINGS).await?.into_iter().next() else {
            bail!("no server")
        };
        let mut ward = Ward::open(target, self.readers)?;
        let before = ward.target.process().usage().rss;
        let seconds = self.seconds.max(1.0) * 2.0;
        let mut seen = [
            ("all read", Turn::GoOn, seconds),
            ("they stop, sockets fill", Turn::Stop, FILLS_S),
            ("they have stopped", Turn::GoOn, seconds * 2.0),
            ("they catch up", Turn::ReadOn, seconds),
        ]
        .map(|(load, turn, seconds)| (turn, Seen { load, seconds, latency: Histogram::default(), rss: 0 }));
        let mut took = Vec::new();
        for round in 1..=self.rounds {
            for (turn, seen) in &mut seen {
                self.progress.now(&format!("slow: {}, round {round}", seen.load));
                ward.begin(*turn)?;
                ward.publish(seen.seconds)?;
                seen.latency.merge(&std::mem::take(&mut ward.latency));
                seen.rss = seen.rss.max(ward.target.process().usage().rss);
            }
            took.push(ward.catch_up()?);
        }
        self.progress.step();
        let rss = ward.target.process().usage().rss;
        let last =
            Seen { load: "all have everything", seconds: median(took), latency: Histogram::default(), rss };
        let all = seen.into_iter().map(|(_, seen)| seen).chain([last]);
        Ok(all.map(|seen| self.line(&ward, &seen, before)).collect())
    }

    fn line(&self, ward: &Ward, seen: &Seen, before: u64) -> Line {
        let growth = seen.rss as f64 - before as f64;
        Line {
            scenario: "slow",
            server: ward.target.name.clone(),
            load: format!("{QUICK} readers, {} slow: {}", self.readers, seen.load),
            figures: vec![
                ("seconds", seen.seconds),
                ("p50_ms", seen.latency.percentile_ms(0.5)),
                ("p99_ms", seen.latency.percentile_ms(0.99)),
                ("rss_growth_mib", growth / 1_048_576.0),
                ("kib_each_slow", growth / 1024.0 / self.readers as f64),
                ("lost", ward.wrong as f64),
            ],
        }
    }
}

impl Ward {
    fn open(target: Target, slow: usize) -> anyhow::Result<Self> {
        let address = target.process().address();
        let readers = (0..QUICK + slow).map(|number| target.reader(number, &[0]));
        let readers = readers.collect::<Result<Vec<_>, _>>()?;
        let (mut head, mut published) = (Numbered::after("\"head\":"), 0);
        let (mut quick, mut slow) = (Net::new()?, Net::of_phones()?);
        let mut reply = |_: usize, reply: &[u8]| published = head.read(reply).unwrap_or(published);
        admit(&mut quick, address, &readers[..QUICK], 32, &mut reply)?;
        admit(&mut slow, address, &readers[QUICK..], 32, &mut reply)?;
        admit(&mut quick, address, &[target.publisher(0)?], 1, |_, _| {})?;
        Ok(Self {
            target,
            quick,
            slow,
            published,
            last: vec![published; readers.len()],
            wrong: 0,
            numbered: Numbered::after(Speech::Update.number()),
            due: Vec::new(),
            latency: Histogram::default(),
        })
    }

    /// Has the slow ones go on as they do, stop, or read again.
    fn begin(&mut self, turn: Turn) -> anyhow::Result<()> {
        for number in 0..self.last.len() - QUICK {
            match turn {
                Turn::GoOn => {}
                Turn::Stop => self.slow.stop_reading(number),
                Turn::ReadOn => {
                    let Self { slow, last, wrong, numbered, .. } = self;
                    slow.read_on(number, |sockets, number, received| {
                        hear(sockets, number + QUICK, &received, numbered, last, wrong, |_, _| {})
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Sends batches at their rate for so many seconds, and waits until the quick readers have them.
    fn publish(&mut self, seconds: f64) -> anyhow::Result<()> {
        let (first, began) = (self.published, clock::nanos());
        self.due.clear();
        for number in 0..(seconds * RATE as f64) as u64 {
            let due = began + number * 1_000_000_000 / RATE;
            while clock::nanos() < due {
                self.turn(first)?;
            }
            self.due.push(due);
            self.send()?;
        }
        let until = clock::nanos() + QUICK_PATIENCE_NS;
        while self.last[..QUICK].iter().any(|last| *last < self.published) {
            ensure!(clock::nanos() < until, "the quick readers did not get everything");
            self.turn(first)?;
        }
        Ok(())
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let measured =
            r#"{"metric":"heart_rate","value":72.0,"unit":"/min","taken_at":"2026-01-01T00:00:00Z"}"#;
        let text = format!(r#"{{"type":"health_update","batch":[{}]}}"#, [measured; BATCH].join(","));
        let mut out = Vec::new();
        frame::push_text(text.as_bytes(), &mut out);
        self.published += BATCH as u64;
        self.quick.sockets().write(QUICK, &out)
    }

    /// Takes what has come for the quick ones, and something of what has come for the slow ones; the first batch began
    /// after number `first`.
    fn turn(&mut self, first: u64) -> anyhow::Result<()> {
        let Self { quick, slow, last, wrong, numbered, due, latency, .. } = self;
        quick.turn(Duration::ZERO, |sockets, number, received| {
            hear(sockets, number, &received, numbered, last, wrong, |at, heard| {
                let batch = heard.saturating_sub(first + 1) as usize / BATCH;
                if let Some(due) = due.get(batch) {
                    latency.add(at.saturating_sub(*due));
                }
            })
        })?;
        slow.turn(Duration::ZERO, |sockets, number, received| {
            hear(sockets, number + QUICK, &received, numbered, last, wrong, |_, _| {})
        })
    }

    /// Says how many seconds more it takes until all have everything.
    fn catch_up(&mut self) -> anyhow::Result<f64> {
        let began = clock::nanos();
        while self.last.iter().any(|last| *last < self.published) {
            let waited = clock::seconds(began, clock::nanos());
            ensure!(waited < PATIENCE_S, "the slow readers did not get everything in {waited:.0} s");
            self.turn(u64::MAX / 2)?;
        }
        self.latency = Histogram::default();
        Ok(clock::seconds(began, clock::nanos()))
    }
}

/// Takes one message; `event` is told when it was read, and its number.
fn hear(
    sockets: &Sockets,
    number: usize,
    received: &Received<'_>,
    numbered: &mut Numbered,
    last: &mut [u64],
    wrong: &mut u64,
    event: impl FnOnce(u64, u64),
) -> anyhow::Result<()> {
    let Received::Message(message) = received else { return Ok(()) };
    if !message.starts_with(Speech::Update.heard()) {
        ensure!(!message.starts_with(b"{\"type\":\"error"), "{}", String::from_utf8_lossy(message));
        return Ok(());
    }
    // The device hears none of its own.
    let (Some(heard), Some(last)) = (numbered.read(message), last.get_mut(number)) else { return Ok(()) };
    *wrong += heard.abs_diff(*last + 1);
    *last = heard;
    event(sockets.read_at(), heard);
    Ok(())
}
