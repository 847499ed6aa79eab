//! `healthmate bench`

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::settings::{SettingsArgs, system_clock};
use super::{asked_to_stop, block_on, output};
use crate::bench::{Class, Cores, Line, Peer, Progress, Scenario, Site, clear_away, tables};

/// Measure how much a server can take, and what it costs
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[arg(required = true, help = "What to measure")]
    scenarios: Vec<Scenario>,
    /// How long one measurement takes, in seconds
    #[arg(long, value_name = "N", default_value = "1.5", value_parser = seconds)]
    seconds: f64,
    /// How many measurements a figure is the median of, or in how many parts `leak` comes
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// How many readers or topics a fan-out has
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u16).range(1..=9000))]
    readers: u16,
    /// How many connections `idle` opens
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u16).range(1..))]
    idle: u16,
    /// How many connections come and go in `leak`
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..))]
    connects: u32,
    /// How many clients `stop` asks to come back
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u16).range(1..=9000))]
    clients: u16,
    /// Messages a second of `open`
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "500,1000,2000,3000,6000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rates: Vec<u32>,
    /// Events of a fan-out: `ephemeral` ones are passed on, `durable` ones are stored first; both, side by side
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',', default_value = "ephemeral")]
    class: Vec<Class>,
    /// Server to measure beside HealthMate; `bench/README.md` says what it must do. May be given several times
    #[arg(long, value_name = "NAME=COMMAND")]
    beside: Vec<Peer>,
    /// Let the system choose the cores, instead of one for the server and one for the load
    #[arg(long)]
    any_core: bool,
    /// Folder for temporary databases: says which disk is measured [default: that of temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Write the result as JSON to this file too; `-` prints it instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Server to measure, HOST:PORT, where people named bench-… are added; needs its --data [default: one of its own]
    #[arg(long, value_name = "ADDR", help_heading = "Server")]
    server: Option<String>,
    /// Process of that server, to measure what it uses
    #[arg(long, value_name = "PID", requires = "server", help_heading = "Server")]
    pid: Option<u32>,
    #[command(flatten)]
    settings: SettingsArgs,
}

const EXAMPLES: &str = "\
Examples:
  healthmate bench ingest
  healthmate bench fanout burst --json result.json
  healthmate bench ingest --rounds 1 --json - | jq";

impl Bench {
    /// Measures, and prints what was found.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = Box::new(self.settings.load()?);
        let folder = self.folder.unwrap_or_else(std::env::temp_dir);
        let site = match &self.server {
            None => Site::Own(settings, self.settings.file().map(Path::to_owned), folder.clone()),
            Some(_) if !self.settings.names_data() => {
                return Err(Failure::usage("--server needs --data, the data folder of that server"));
            }
            Some(server) => Site::Running(settings, address(server)?, self.pid),
        };
        let bench = crate::bench::Bench {
            site,
            folder,
            cores: if self.any_core { Cores::Shared } else { Cores::apart() },
            seconds: self.seconds,
            rounds: self.rounds.into(),
            readers: self.readers.into(),
            idle: self.idle.into(),
            connects: self.connects as usize,
            clients: self.clients.into(),
            rates: self.rates,
            classes: self.class,
            peers: self.beside,
            clock: system_clock(),
            progress: Progress::begin(),
        };
        end_cleanly();
        let lines = block_on(async { bench.run(&self.scenarios).await.map_err(Failure::from) })?;
        drop(bench);
        self.json.as_deref().map_or_else(|| output::line(&tables(&lines)), |file| write(file, &lines))
    }
}

/// Writes the result where `--json` says, and its table unless that is stdout.
fn write(file: &Path, lines: &[Line]) -> Result<(), Failure> {
    let result = json!({ "lines": lines });
    if file == Path::new("-") {
        return output::json(&result);
    }
    let written = std::fs::write(file, format!("{result}\n"));
    // What was measured is shown all the same.
    output::line(&tables(lines))?;
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
}

/// From now on a signal ends the servers too and removes their folders. The load keeps its own thread busy, so
/// another one listens.
fn end_cleanly() {
    std::thread::spawn(|| {
        let stopped = block_on(async {
            asked_to_stop().await;
            Ok(())
        });
        if stopped.is_ok() {
            clear_away();
            std::process::exit(130);
        }
    });
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let plain = text.trim_start_matches("ws://").trim_start_matches("http://").trim_end_matches('/');
    let found = plain.to_socket_addrs().map(|mut found| found.next());
    let wrong = || Failure::usage(format!("--server {text}: write HOST:PORT; TLS is not measured"));
    found.map_err(|_| wrong())?.ok_or_else(wrong)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number, such as 1.5".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("must be 0.1 to 600".to_owned()) }
}
