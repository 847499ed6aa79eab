//! Durable ingest: measurements acknowledged per second, beside plain SQLite writing the same rows.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{bail, ensure};
use healthmate_care::{Measurement, Metric};
use healthmate_protocol::{ClientId, Timestamp};
use healthmate_storage_sqlite::baseline::raw_ingest;

use super::Bench;
use crate::bench::door::{Guest, admit};
use crate::bench::house::House;
use crate::bench::leftovers::Folder;
use crate::bench::net::{Net, Received, Sockets};
use crate::bench::people::{self, Census};
use crate::bench::process::{busy_ns, own_usage};
use crate::bench::report::Line;
use crate::bench::statistics::{Histogram, median};
use crate::bench::{clock, frame};

/// How many batches of a connection wait for their acknowledgement.
const DEPTH: usize = 4;

/// How long the server may acknowledge nothing, in seconds.
const PATIENCE_S: f64 = 10.0;

const DEVICE: &str = "Polar H10";

/// How the measurements come.
#[derive(Clone, Copy, Debug)]
struct Load {
    connections: usize,
    batch: usize,
}

const LOADS: [Load; 4] = [
    Load { connections: 1, batch: 1 },
    Load { connections: 10, batch: 1 },
    Load { connections: 1, batch: 100 },
    Load { connections: 10, batch: 100 },
];

/// What one round found.
struct Round {
    rows_per_s: f64,
    raw_rows_per_s: f64,
    group: f64,
    cpu_us_per_row: f64,
    others_percent: f64,
}

impl Bench {
    /// Measures every load, each with HealthMate and plain SQLite taking turns.
    pub(super) async fn ingest(&self) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for load in LOADS {
            self.progress
                .now(&format!("ingest: {} connections, batches of {}", load.connections, load.batch));
            let (mut rounds, mut waits) = (Vec::new(), Histogram::default());
            for _ in 0..self.rounds {
                rounds.push(self.ingest_round(load, &mut waits).await?);
                self.progress.step();
            }
            lines.push(line(load, &rounds, &waits));
        }
        Ok(lines)
    }

    /// How many steps [`Self::ingest`] takes.
    pub(super) fn ingest_steps(&self) -> usize {
        LOADS.len() * self.rounds
    }

    async fn ingest_round(&self, load: Load, waits: &mut Histogram) -> anyhow::Result<Round> {
        let census = Census { patients: 1, devices: vec![0; load.connections], ..Census::default() };
        let house = House::open(&self.site, &self.clock, &census, self.cores).await?;
        self.cores.take_generators()?;
        let mut stream = Stream::open(&house, load, self.clock.now())?;
        let commits = || {
            let metric = |name| house.metric(name);
            Ok::<_, anyhow::Error>((
                metric("healthmate_commit_events_sum")?,
                metric("healthmate_commit_events_count")?,
            ))
        };
        let (rows_before, commits_before) = commits()?;
        let (busy, server, own) = (busy_ns(), house.process().usage(), own_usage());
        let seconds = stream.run(self.seconds)?;
        let (busy, own) = (busy_ns() - busy, own_usage().cpu_ns - own.cpu_ns);
        let server = house.process().usage().cpu_ns - server.cpu_ns;
        let (rows_after, commits_after) = commits()?;
        drop(house);
        let group = (rows_after - rows_before) / (commits_after - commits_before).max(1.0);
        waits.merge(&stream.waits);
        let rows = stream.acknowledged;
        let raw_seconds = self.raw_seconds(rows, group.round().max(1.0) as usize)?;
        Ok(Round {
            rows_per_s: rows as f64 / seconds,
            raw_rows_per_s: rows as f64 / raw_seconds,
            group,
            cpu_us_per_row: server as f64 / 1e3 / rows as f64,
            others_percent: busy.saturating_sub(server + own) as f64 / seconds / 2e7,
        })
    }

    /// How long plain SQLite takes for as many rows, on the server's core.
    fn raw_seconds(&self, rows: usize, group: usize) -> anyhow::Result<f64> {
        let folder = Folder::below(&self.folder)?;
        let base = self.clock.now();
        let rows = (0..rows).map(|number| measurement(base, number)).collect::<Result<_, _>>()?;
        let failed = |error| anyhow::anyhow!("plain SQLite: {error}");
        let ingest = raw_ingest(folder.path(), rows, group).map_err(failed)?;
        self.cores.take_servers()?;
        let began = clock::nanos();
        ingest().map_err(failed)?;
        Ok(clock::seconds(began, clock::nanos()))
    }
}

fn line(load: Load, rounds: &[Round], waits: &Histogram) -> Line {
    let middle = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    Line {
        scenario: "ingest",
        server: "healthmate".to_owned(),
        load: format!("{} x {}", load.connections, load.batch),
        figures: vec![
            ("rows_per_s", middle(|round| round.rows_per_s)),
            ("sqlite_rows_per_s", middle(|round| round.raw_rows_per_s)),
            ("ratio", middle(|round| round.rows_per_s / round.raw_rows_per_s)),
            ("rows_per_commit", middle(|round| round.group)),
            ("server_cpu_us_per_row", middle(|round| round.cpu_us_per_row)),
            ("ack_p50_ms", waits.percentile_ms(0.5)),
            ("ack_p99_ms", waits.percentile_ms(0.99)),
            ("others_percent", middle(|round| round.others_percent)),
        ],
    }
}

fn value(number: usize) -> f64 {
    60.0 + (number % 40) as f64
}

fn client_id(number: usize) -> String {
    format!("run-7-{number}")
}

/// The measurement that plain SQLite writes for number `number` of the stream.
fn measurement(base: Timestamp, number: usize) -> anyhow::Result<Measurement> {
    Ok(Measurement {
        metric: Metric::HeartRate,
        value: value(number),
        taken_at: taken_at(base, number),
        client_id: Some(ClientId::new(&client_id(number))?),
        device: Some(DEVICE.to_owned()),
        original: None,
    })
}

/// A day back, so that no measurement lies in the future.
fn taken_at(base: Timestamp, number: usize) -> Timestamp {
    base.plus_millis(number as i64 * 10 - 86_400_000)
}

/// Devices that send, [`DEPTH`] batches ahead of what is acknowledged.
struct Stream {
    net: Net,
    load: Load,
    base: Timestamp,
    sent: usize,
    acknowledged: usize,
    last_at: u64,
    /// For each connection, when the batches that wait were sent, oldest first.
    waiting: Vec<std::collections::VecDeque<u64>>,
    waits: Histogram,
}

impl Stream {
    fn open(house: &House, load: Load, base: Timestamp) -> anyhow::Result<Self> {
        let guests = (0..load.connections)
            .map(|number| Ok(Guest::of_health(&house.token(&people::device(number))?, &[], false)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut net = Net::new()?;
        admit(&mut net, house.process().address(), &guests, 16, |_, _| {})?;
        let waiting = vec![std::collections::VecDeque::with_capacity(DEPTH); load.connections];
        let waits = Histogram::default();
        Ok(Self { net, load, base, sent: 0, acknowledged: 0, last_at: 0, waiting, waits })
    }

    /// Sends for so many seconds, waits for what is on its way, and says how long it all took, in seconds.
    fn run(&mut self, seconds: f64) -> anyhow::Result<f64> {
        let Self { net, load, base, sent, acknowledged, last_at, waiting, waits } = self;
        let began = clock::nanos();
        let until = began + (seconds * 1e9) as u64;
        let (mut text, mut out) = (String::new(), Vec::new());
        let mut send =
            |sockets: &mut Sockets, number: usize, waiting: &mut [std::collections::VecDeque<u64>]| {
                write_batch(&mut text, *base, *sent, load.batch);
                *sent += load.batch;
                out.clear();
                frame::push_text(text.as_bytes(), &mut out);
                waiting[number].push_back(clock::nanos());
                sockets.write(number, &out)
            };
        for number in (0..load.connections).cycle().take(load.connections * DEPTH) {
            send(net.sockets(), number, waiting)?;
        }
        while waiting.iter().any(|waiting| !waiting.is_empty()) {
            net.turn(Duration::from_secs(1), |sockets, number, received| {
                let Received::Message(message) = received else { return Ok(()) };
                if !acknowledges(message)? {
                    return Ok(());
                }
                let now = clock::nanos();
                let Some(sent_at) = waiting[number].pop_front() else { bail!("one answer too many") };
                waits.add(now - sent_at);
                *acknowledged += load.batch;
                *last_at = now;
                if now < until { send(sockets, number, waiting) } else { Ok(()) }
            })?;
            let silent = clock::seconds((*last_at).max(began), clock::nanos());
            ensure!(silent < PATIENCE_S, "the server acknowledged nothing for {silent:.0} s");
        }
        Ok(clock::seconds(began, *last_at))
    }
}

/// Whether this is an acknowledgment; heartbeats come in between.
///
/// # Errors
/// If it is anything else: the server has refused something.
fn acknowledges(message: &[u8]) -> anyhow::Result<bool> {
    let is = |start: &[u8]| message.starts_with(start);
    let acknowledges = is(b"{\"type\":\"acknowledgment\"");
    let expected = acknowledges || is(b"{\"type\":\"heartbeat\"");
    ensure!(expected, "the server answered {}", String::from_utf8_lossy(message));
    Ok(acknowledges)
}

/// Writes the message with the measurements from `first` on.
fn write_batch(text: &mut String, base: Timestamp, first: usize, batch: usize) {
    text.clear();
    text.push_str(r#"{"type":"health_update","batch":["#);
    for number in first..first + batch {
        let comma = if number > first { "," } else { "" };
        let (value, taken_at, id) = (value(number), taken_at(base, number), client_id(number));
        // A String takes everything.
        let _ = write!(
            text,
            r#"{comma}{{"metric":"heart_rate","value":{value},"unit":"/min","taken_at":"{taken_at}","client_id":"{id}","device":"{DEVICE}"}}"#
        );
    }
    text.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_the_protocol_takes() {
        let mut text = String::new();
        write_batch(&mut text, Timestamp::from_micros(1_800_000_000_000_000), 7, 2);
        let message = healthmate_protocol::client::ClientMessage::parse(&text).expect("valid");
        assert_eq!(message.command.name(), "health_update");
        assert!(text.contains("run-7-7") && text.contains("run-7-8") && !text.contains("run-7-9"));
    }
}
