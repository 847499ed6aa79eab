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
use crate::bench::statistics::Histogram;
use crate::bench::target::{Speech, Target};
use crate::bench::{clock, frame};

/// Readers that go on.
const QUICK: usize = 100;

/// Measurements in a batch, so that much comes in few commits.
const BATCH: usize = 50;

/// Batches a second.
const RATE: u64 = 20;

/// Who does not read cannot answer a ping either: readers may stop here for longer than the dead are waited for.
const SETTINGS: &[Told] = &[("limits", "ping_after_s", "600"), ("limits", "gone_after_s", "1200")];

/// How many bytes the system takes in for a reader that does not read.
const SMALL_BUFFER: usize = 8 * 1024;

/// How many bytes it takes in for one that reads again.
const LARGE_BUFFER: usize = 512 * 1024;

/// How long the quick ones may take for the last message, in nanoseconds.
const QUICK_PATIENCE_NS: u64 = 30_000_000_000;

/// How long the slow ones may take to catch up, in seconds.
const PATIENCE_S: f64 = 120.0;

/// A patient's device, and readers of whom some can stop.
struct Ward {
    target: Target,
    net: Net,
    device: usize,
    published: u64,
    /// The number each reader received last.
    last: Vec<u64>,
    wrong: u64,
    numbered: Numbered,
    /// When each batch was due.
    due: Vec<u64>,
    latency: Histogram,
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
        let load = format!("{QUICK} readers, {} slow", self.readers);
        let mut lines = Vec::new();
        let mut line = |phase: &str, ward: &mut Ward, seconds: f64, rss: u64| {
            let latency = std::mem::take(&mut ward.latency);
            let after = ward.target.process().usage().rss;
            lines.push(Line {
                scenario: "slow",
                server: ward.target.name.clone(),
                load: format!("{load}: {phase}"),
                figures: vec![
                    ("seconds", seconds),
                    ("p50_ms", latency.percentile_ms(0.5)),
                    ("p99_ms", latency.percentile_ms(0.99)),
                    ("rss_growth_mib", (after as f64 - rss as f64) / 1_048_576.0),
                    ("kib_each_slow", (after as f64 - rss as f64) / 1024.0 / self.readers as f64),
                    ("lost", ward.wrong as f64),
                ],
            });
        };
        let rss = ward.target.process().usage().rss;
        let seconds = self.seconds.max(1.0) * 4.0;
        self.progress.now("slow: all read");
        ward.publish(seconds)?;
        line("all read", &mut ward, seconds, rss);
        self.progress.now("slow: some stopped reading");
        ward.stop_slow()?;
        ward.publish(seconds * 2.0)?;
        line("they stopped", &mut ward, seconds * 2.0, rss);
        self.progress.now("slow: they catch up");
        ward.read_on()?;
        ward.publish(seconds)?;
        line("they catch up", &mut ward, seconds, rss);
        let took = ward.catch_up()?;
        line("all have everything", &mut ward, took, rss);
        self.progress.step();
        Ok(lines)
    }
}

impl Ward {
    fn open(target: Target, slow: usize) -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        let address = target.process().address();
        let readers = (0..QUICK + slow).map(|number| target.reader(number, &[0]));
        let readers = readers.collect::<Result<Vec<_>, _>>()?;
        let (mut head, mut published) = (Numbered::after("\"head\":"), 0);
        admit(&mut net, address, &readers, 32, |_, reply| published = head.read(reply).unwrap_or(published))?;
        let device = admit(&mut net, address, &[target.publisher(0)?], 1, |_, _| {})?;
        Ok(Self {
            target,
            net,
            device,
            published,
            last: vec![published; readers.len()],
            wrong: 0,
            numbered: Numbered::after(Speech::Update.number()),
            due: Vec::new(),
            latency: Histogram::default(),
        })
    }

    /// All but the quick ones read no more.
    fn stop_slow(&mut self) -> anyhow::Result<()> {
        (QUICK..self.last.len()).try_for_each(|number| self.net.stop_reading(number, SMALL_BUFFER))
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
        self.net.sockets().write(self.device, &out)
    }

    /// Takes what has come; the first batch began after number `first`.
    fn turn(&mut self, first: u64) -> anyhow::Result<()> {
        let Self { net, last, wrong, numbered, due, latency, .. } = self;
        net.turn(Duration::ZERO, |sockets, number, received| {
            hear(sockets, number, &received, numbered, last, wrong, |at, heard, reader| {
                let batch = heard.saturating_sub(first + 1) as usize / BATCH;
                if let Some(due) = due.get(batch).filter(|_| reader < QUICK) {
                    latency.add(at.saturating_sub(*due));
                }
            })
        })
    }

    /// Lets everybody read.
    fn read_on(&mut self) -> anyhow::Result<()> {
        for number in QUICK..self.last.len() {
            let Self { net, last, wrong, numbered, .. } = self;
            net.read_on(number, LARGE_BUFFER, |sockets, number, received| {
                hear(sockets, number, &received, numbered, last, wrong, |_, _, _| {})
            })?;
        }
        Ok(())
    }

    /// Says how many seconds more it takes until all have everything.
    fn catch_up(&mut self) -> anyhow::Result<f64> {
        let began = clock::nanos();
        while self.last.iter().any(|last| *last < self.published) {
            let waited = clock::seconds(began, clock::nanos());
            ensure!(waited < PATIENCE_S, "the slow readers did not get everything in {waited:.0} s");
            self.turn(u64::MAX / 2)?;
        }
        Ok(clock::seconds(began, clock::nanos()))
    }
}

/// Takes one message; `event` is told when it was read, its number and its reader.
fn hear(
    sockets: &Sockets,
    number: usize,
    received: &Received<'_>,
    numbered: &mut Numbered,
    last: &mut [u64],
    wrong: &mut u64,
    event: impl FnOnce(u64, u64, usize),
) -> anyhow::Result<()> {
    let Received::Message(message) = received else { return Ok(()) };
    if !message.starts_with(Speech::Update.heard()) {
        ensure!(!message.starts_with(b"{\"type\":\"error"), "{}", String::from_utf8_lossy(message));
        return Ok(());
    }
    let (Some(heard), Some(last)) = (numbered.read(message), last.get_mut(number)) else { return Ok(()) };
    *wrong += heard.abs_diff(*last + 1);
    *last = heard;
    event(sockets.read_at(), heard, number);
    Ok(())
}
