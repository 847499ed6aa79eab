//! The loads, a file each.

mod crowd;
mod echo;
mod fan;
mod ingest;
mod leak;
mod slow;
mod stop;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use healthmate_care::Clock;

use super::house::Site;
use super::process::Cores;
use super::report::{Line, Progress};
use super::stage::Pace;
use super::target::{Class, Peer};
use fan::Shape;

/// Messages a second of `durable`.
const DURABLE_RATE: u32 = 500;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Measurements acknowledged per second, beside plain SQLite
    Ingest,
    /// 1000 readers of one patient, one message at a time
    Fanout,
    /// 1000 readers of one patient, 16 messages at a time
    Burst,
    /// 1000 readers of one patient, messages at fixed rates
    Open,
    /// 1000 patients with one reader each
    Topics,
    /// Memory of 10000 connections that do nothing
    Idle,
    /// Connections opened, signed in and subscribed
    Connect,
    /// 64 connections that ask and are answered
    Echo,
    /// 1000 readers of one patient: what is stored first beside what is not, at the same rate
    Durable,
    /// 1000 readers that stop reading, and go on
    Slow,
    /// 100000 connections that end in every way there is, and what is left of them
    Leak,
    /// 5000 clients whose server is stopped and replaced
    Stop,
}

/// What all scenarios are run with.
pub(crate) struct Bench {
    /// Where HealthMate is.
    pub(crate) site: Site,
    /// Who is measured beside it.
    pub(crate) peers: Vec<Peer>,
    /// Where temporary data goes.
    pub(crate) folder: PathBuf,
    /// Where server and generator run.
    pub(crate) cores: Cores,
    /// How long one measurement takes, in seconds.
    pub(crate) seconds: f64,
    /// How many measurements a figure is the median of.
    pub(crate) rounds: usize,
    /// How many readers a fan-out has.
    pub(crate) readers: usize,
    /// How many connections do nothing.
    pub(crate) idle: usize,
    /// How many connections come and go.
    pub(crate) connects: usize,
    /// How many clients there are when a server is replaced.
    pub(crate) clients: usize,
    /// Messages a second of the open loop.
    pub(crate) rates: Vec<u32>,
    /// Of which classes the events of a fan-out are.
    pub(crate) classes: Vec<Class>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Progress,
}

impl Bench {
    /// Runs scenarios one after the other.
    pub(crate) async fn run(&self, scenarios: &[Scenario]) -> anyhow::Result<Vec<Line>> {
        self.progress.expect(scenarios.iter().map(|scenario| self.steps(*scenario)).sum());
        let mut lines = Vec::new();
        for scenario in scenarios {
            lines.extend(match scenario {
                Scenario::Ingest => self.ingest().await?,
                Scenario::Idle => self.idle().await?,
                Scenario::Connect => self.connect().await?,
                Scenario::Echo => self.echo().await?,
                Scenario::Slow => self.slow().await?,
                Scenario::Leak => self.leak().await?,
                Scenario::Stop => self.stop().await?,
                Scenario::Durable => self.durable().await?,
                Scenario::Fanout | Scenario::Burst | Scenario::Open | Scenario::Topics => {
                    self.fan(&self.shape(*scenario)).await?
                }
            });
        }
        Ok(lines)
    }

    /// Measures what is stored first beside what is not: how much longer it takes to reach its readers.
    async fn durable(&self) -> anyhow::Result<Vec<Line>> {
        let shape = Shape {
            scenario: "durable",
            topics: 1,
            readers: self.readers,
            paces: vec![(format!("{DURABLE_RATE} a second"), Pace::Rate(DURABLE_RATE.into()))],
            classes: vec![Class::Ephemeral, Class::Durable],
        };
        let mut lines = self.fan(&shape).await?;
        let p99 = |line: &Line| {
            line.figures.iter().find(|(name, _)| *name == "p99_ms").map_or(0.0, |(_, value)| *value)
        };
        let ephemeral = lines.first().map_or(0.0, p99);
        for line in &mut lines {
            line.figures.push(("p99_x_ephemeral", p99(line) / ephemeral));
        }
        Ok(lines)
    }

    fn steps(&self, scenario: Scenario) -> usize {
        match scenario {
            Scenario::Ingest => self.ingest_steps(),
            Scenario::Open => self.rates.len(),
            Scenario::Connect => crowd::LOADS.len(),
            Scenario::Leak => self.rounds,
            _ => 1,
        }
    }

    fn shape(&self, scenario: Scenario) -> Shape {
        let lone = |name: &str, pace| vec![(name.to_owned(), pace)];
        let classes = self.classes.clone();
        let one = |scenario, paces| Shape {
            scenario,
            topics: 1,
            readers: self.readers,
            paces,
            classes: classes.clone(),
        };
        match scenario {
            Scenario::Burst => one("burst", lone("16 at a time", Pace::Bursts(16))),
            Scenario::Open => {
                let rate = |rate: &u32| (format!("{rate} a second"), Pace::Rate((*rate).into()));
                one("open", self.rates.iter().map(rate).collect())
            }
            Scenario::Topics => Shape {
                scenario: "topics",
                topics: self.readers,
                readers: 1,
                paces: lone("64 on their way", Pace::Topics(64)),
                classes: classes.clone(),
            },
            _ => one("fanout", lone("one at a time", Pace::Lone)),
        }
    }
}
