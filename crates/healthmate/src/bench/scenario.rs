//! The loads, a file each.

mod ingest;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use healthmate_care::Clock;

use super::house::Site;
use super::process::Cores;
use super::report::{Line, Progress};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Measurements acknowledged per second, beside plain SQLite
    Ingest,
}

/// What all scenarios are run with.
pub(crate) struct Bench {
    /// Where HealthMate is.
    pub(crate) site: Site,
    /// Where temporary data goes.
    pub(crate) folder: PathBuf,
    /// Where server and generator run.
    pub(crate) cores: Cores,
    /// How long one measurement takes, in seconds.
    pub(crate) seconds: f64,
    /// How many measurements a figure is the median of.
    pub(crate) rounds: usize,
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
            });
        }
        Ok(lines)
    }

    fn steps(&self, scenario: Scenario) -> usize {
        match scenario {
            Scenario::Ingest => self.ingest_steps(),
        }
    }
}
