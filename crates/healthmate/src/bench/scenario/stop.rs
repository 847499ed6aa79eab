//! A rolling stop: everybody is asked to come back, another server takes the place of the first, and nobody misses
//! anything. The clients are those of `healthmate watch` and `healthmate replay`.

mod roll;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use healthmate_protocol::ErrorCode;
use healthmate_protocol::server::PresenceResponse;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::roll::{Report, Roll, Word};
use super::Bench;
use crate::bench::clock;
use crate::bench::house::{House, Site};
use crate::bench::people::{self, Census};
use crate::bench::report::Line;
use crate::client::{Backoff, ClientError, Link, Received, Reconnect, Target, Token};
use crate::replay::{Counts, Pace, Quiet, Recording, Replay, Selection};
use crate::watch::{Gap, Tail, Viewer, Wanted, Watch};

/// How many devices measure, each for a patient of its own.
const DEVICES: usize = 20;

/// How often each measures, in milliseconds.
const EVERY_MS: u64 = 250;

/// How many clients connect at once.
const TOGETHER: usize = 64;

/// How long devices measure before the stop, and after all could be back, in seconds.
const AROUND_S: u64 = 4;

/// How long any part of it may take, in seconds.
const PATIENCE_S: f64 = 120.0;

/// A client of `healthmate watch` that tells what it sees.
struct Witness {
    client: usize,
    reports: UnboundedSender<Report>,
}

impl Witness {
    fn tell(&self, word: Word) {
        // At the end nobody listens any more.
        let _ = self.reports.send(Report { client: self.client, at: clock::nanos(), word });
    }
}

impl Link for Witness {
    fn cut(&mut self, _: &ClientError, _: Duration) {
        self.tell(Word::Cut);
    }

    fn restored(&mut self) {}
}

impl Viewer for Witness {
    fn event(&mut self, received: &Received) -> std::io::Result<()> {
        if let Some((_, offset)) = &received.envelope.position() {
            self.tell(Word::Event(offset.0));
        }
        Ok(())
    }

    fn repeated(&mut self) {
        self.tell(Word::Repeated);
    }

    fn subscribed(&mut self, _: &Tail) {
        self.tell(Word::Subscribed);
    }

    fn gap(&mut self, _: &Gap) {
        self.tell(Word::Gap);
    }

    fn merged(&mut self, _: u64) {}

    fn present(&mut self, _: &PresenceResponse) {}

    fn absent(&mut self, _: ErrorCode) {}
}

/// The clients, the devices, and what is known of them.
struct Ward {
    house: House,
    address: SocketAddr,
    roll: Roll,
    sender: UnboundedSender<Report>,
    reports: UnboundedReceiver<Report>,
    watches: JoinSet<anyhow::Result<()>>,
    devices: JoinSet<anyhow::Result<Counts>>,
}

/// How long each part of a stop took, in seconds.
struct Times {
    refused: f64,
    stopped: f64,
    started: f64,
    back: f64,
}

impl Bench {
    /// Stops a server under its clients and starts another in its place.
    pub(super) async fn stop(&self) -> anyhow::Result<Vec<Line>> {
        let Site::Own(settings, ..) = &self.site else {
            bail!("stop needs a server of its own: leave out --server");
        };
        let paced = u64::from(settings.server.reconnects_per_second);
        let readers = (0..self.clients).map(|client| vec![client % DEVICES]).collect();
        let census = Census { patients: DEVICES, devices: (0..DEVICES).collect(), readers, operator: false };
        let house = House::open(&self.site, &self.clock, &census, self.cores).await?;
        self.cores.take_generators()?;
        self.progress.now(&format!("stop: {} clients connect", self.clients));
        let mut ward = Ward::open(house, self.clients).await?;
        let seconds = 2 * AROUND_S + self.clients as u64 / paced;
        let rows = seconds * 1000 / EVERY_MS;
        for device in 0..DEVICES {
            ward.measure(self, device, rows)?;
        }
        ward.listen(Duration::from_secs(AROUND_S)).await?;
        self.progress.now("stop: the server is replaced");
        let times = ward.replace().await?;
        self.progress.now("stop: the devices finish");
        let counts = ward.finish(rows).await?;
        self.progress.step();
        Ok(vec![ward.line(paced, rows, &times, counts)])
    }
}

impl Ward {
    /// Lets the clients in.
    async fn open(house: House, clients: usize) -> anyhow::Result<Self> {
        let (sender, reports) = unbounded_channel();
        let address = house.process().address();
        let (roll, watches, devices) = (Roll::of(clients), JoinSet::new(), JoinSet::new());
        let mut ward = Self { house, address, roll, sender, reports, watches, devices };
        for client in 0..clients {
            ward.watch(client)?;
            ward.until("let the clients in", |roll| client + 1 < roll.inside() + TOGETHER).await?;
        }
        ward.until("let the clients in", |roll| roll.inside() == clients).await?;
        Ok(ward)
    }

    fn reconnect(&self, user: &str, seed: usize) -> anyhow::Result<Reconnect> {
        let target = Target::new(&format!("ws://{}", self.address), "/ws/combined")?;
        let token = Token::new(&self.house.token(user)?);
        Ok(Reconnect::new(target, Box::new(move || Ok(token.clone())), Backoff::new(seed as u64)))
    }

    fn watch(&mut self, client: usize) -> anyhow::Result<()> {
        let topic = format!("health:{}", people::patient(client % DEVICES));
        let watch = Watch {
            tail: Tail::new(topic.parse()?, Wanted::default()),
            count: None,
            reconnect: self.reconnect(&people::reader(client), client)?,
            viewer: Box::new(Witness { client, reports: self.sender.clone() }),
        };
        self.watches.spawn(async move { Ok(watch.run(std::future::pending()).await.map(|_| ())?) });
        Ok(())
    }

    /// Lets a device measure so many times.
    fn measure(&mut self, bench: &Bench, device: usize, rows: u64) -> anyhow::Result<()> {
        let mut csv = "t_ms,bpm\n".to_owned();
        for row in 0..rows {
            // A String takes everything.
            let _ = writeln!(csv, "{},{}", row * EVERY_MS, 60 + row % 40);
        }
        let recording = Recording::read("stop", csv.as_bytes(), &Selection::default())?;
        let replay = Replay {
            recording: Arc::new(recording),
            patient: people::patient(device).parse()?,
            pace: Pace { speed: 1.0, looped: false, history_ms: 0 },
            clock: Arc::clone(&bench.clock),
            reconnect: self.reconnect(&people::device(device), device)?,
            observer: Box::new(Quiet::new("stop")),
        };
        self.devices.spawn(async move { Ok(replay.run(std::future::pending()).await?) });
        Ok(())
    }

    /// Takes down what happens for so long.
    async fn listen(&mut self, how_long: Duration) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + how_long;
        while let Ok(report) = tokio::time::timeout_at(until, self.reports.recv()).await {
            self.roll.take(report.context("nobody reports")?);
            self.nobody_gave_up()?;
        }
        Ok(())
    }

    /// Takes down what happens until the roll is as it should be.
    async fn until(&mut self, what: &str, enough: impl Fn(&Roll) -> bool) -> anyhow::Result<()> {
        let began = clock::nanos();
        while !enough(&self.roll) {
            if let Ok(report) = timeout(Duration::from_millis(100), self.reports.recv()).await {
                self.roll.take(report.context("nobody reports")?);
            }
            self.nobody_gave_up()?;
            let waited = clock::seconds(began, clock::nanos());
            ensure!(waited < PATIENCE_S, "the server did not {what} in {waited:.0} s");
        }
        Ok(())
    }

    fn nobody_gave_up(&mut self) -> anyhow::Result<()> {
        match self.watches.try_join_next() {
            Some(ended) => ended?.and_then(|()| bail!("a client left")),
            None => Ok(()),
        }
    }

    /// Stops the server, starts another, and waits until everybody is back.
    async fn replace(&mut self) -> anyhow::Result<Times> {
        let began = clock::nanos();
        let since = |at| clock::seconds(began, at);
        self.house.ask_to_stop()?;
        while TcpStream::connect(self.address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
        let refused = since(clock::nanos());
        while !self.house.has_ended()? {
            self.listen(Duration::from_millis(2)).await?;
        }
        let stopped = since(clock::nanos());
        self.house.start_again().await?;
        let started = since(clock::nanos());
        let clients = self.watches.len();
        let all = |roll: &Roll| roll.returned() >= clients && roll.inside() == clients;
        self.until("let everybody in again", all).await?;
        Ok(Times { refused, stopped, started, back: since(self.roll.last_return()) })
    }

    /// Waits until the devices have sent all their rows, and everybody has them.
    async fn finish(&mut self, rows: u64) -> anyhow::Result<Counts> {
        let mut sum = Counts::default();
        while let Some(ended) = self.devices.join_next().await {
            let counts = ended??;
            ensure!(counts.acknowledged == rows, "{} of {rows} acknowledged", counts.acknowledged);
            sum.sent += counts.sent;
            sum.acknowledged += counts.acknowledged;
            sum.duplicates += counts.duplicates;
            sum.resent += counts.resent;
        }
        // What is missing then is reported as lost.
        let _ = timeout(Duration::from_secs(10), self.until("deliver", |roll| roll.have_all(rows))).await;
        self.listen(Duration::from_millis(500)).await?;
        Ok(sum)
    }

    fn line(&self, paced: u64, rows: u64, times: &Times, counts: Counts) -> Line {
        Line {
            scenario: "stop",
            server: "healthmate".to_owned(),
            load: format!("{} clients, {DEVICES} devices", self.watches.len()),
            figures: vec![
                ("refused_after_ms", times.refused * 1e3),
                ("stopped_after_ms", times.stopped * 1e3),
                ("started_after_ms", times.started * 1e3),
                ("all_back_after_s", times.back),
                ("most_back_per_s", self.roll.busiest_second() as f64),
                ("paced_per_s", paced as f64),
                ("longest_silence_s", self.roll.longest_silence_s()),
                ("acknowledged", counts.acknowledged as f64),
                ("resent", counts.resent as f64),
                ("resent_known", counts.duplicates as f64),
                ("lost", self.roll.lost(rows) as f64),
                ("repeated", self.roll.repeated() as f64),
            ],
        }
    }
}
