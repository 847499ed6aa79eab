//! The commands.

mod access;
mod admin;
mod api_token;
mod audit;
mod bench;
mod care;
mod config;
mod erase;
mod failure;
mod keys;
mod migrate;
mod output;
mod password;
mod refusal;
mod replay;
mod schema;
mod serve;
mod settings;
mod sign_in;
mod span;
mod status;
mod token;
mod user;
mod watch;
mod waveform;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use failure::Failure;

/// The real-time backend of a health app, in one binary
#[derive(Parser)]
#[command(name = "healthmate", bin_name = "healthmate", version, disable_help_subcommand = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  healthmate serve --demo                  try it: people, devices and their measurements
  healthmate watch health:demo-ana --as demo-nora
  healthmate config show                   every setting and where it stands

`healthmate COMMAND --help` tells more about a command.";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Status(status::Status),
    Replay(replay::Replay),
    Watch(watch::Watch),
    Waveform(waveform::Waveform),
    User(user::User),
    Care(care::Care),
    Access(access::Access),
    Audit(audit::Audit),
    Token(token::Token),
    Config(config::Config),
    Migrate(migrate::Migrate),
    Keys(keys::Keys),
    Erase(erase::Erase),
    Schema(schema::Schema),
    Bench(bench::Bench),
}

/// The commands as the help groups them. A test finds every command here.
const GROUPS: &[(&str, &[&str])] = &[
    ("Server", &["serve", "status", "config", "migrate", "keys", "bench"]),
    ("Clients", &["replay", "waveform", "watch"]),
    ("People", &["user", "care", "erase", "access", "audit", "token"]),
    ("Documents", &["schema"]),
];

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}\n";

/// Runs the command of the process's arguments.
pub(crate) fn main() -> ExitCode {
    let cli = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let ended = cli.map_err(refusal::of_arguments).and_then(|cli| cli.command.run());
    ended.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(command) => command.run(),
            Self::Status(command) => command.run(),
            Self::Replay(command) => command.run(),
            Self::Watch(command) => command.run(),
            Self::Waveform(command) => command.run(),
            Self::User(command) => command.run(),
            Self::Care(command) => command.run(),
            Self::Access(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Token(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Migrate(command) => command.run(),
            Self::Keys(command) => command.run(),
            Self::Erase(command) => command.run(),
            Self::Schema(command) => command.run(),
            Self::Bench(command) => command.run(),
        }
    }
}

/// The command line, with its commands grouped: clap itself lists them in one heap.
fn command() -> clap::Command {
    let command = Cli::command();
    let line = |name: &&str| {
        let about = command.find_subcommand(name).and_then(clap::Command::get_about);
        format!("  {name:<9}{}\n", about.map(ToString::to_string).unwrap_or_default())
    };
    let group = |(heading, names): &(&str, &[&str])| {
        format!("{heading}:\n{}\n", names.iter().map(line).collect::<String>())
    };
    let groups: String = GROUPS.iter().map(group).collect();
    command.before_help(groups).help_template(TEMPLATE)
}

/// Runs a command that waits: one thread is enough for a client or an administrator.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("cannot start: {error}")))?.block_on(future)
}

/// Completes when the process is asked to stop, by Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    StopSignals::listen().next().await;
}

/// Ctrl-C and SIGTERM. One listener hears each of them once, so that none between two waits is lost.
struct StopSignals {
    streams: Option<[Signal; 2]>,
}

impl StopSignals {
    /// Listens from now on. Where signals cannot be heard, the default action ends the process, which is what they
    /// ask for.
    fn listen() -> Self {
        let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        Self {
            streams: match streams {
                (Ok(interrupt), Ok(terminate)) => Some([interrupt, terminate]),
                _ => None,
            },
        }
    }

    /// Completes at the next one.
    async fn next(&mut self) {
        let Some([interrupt, terminate]) = &mut self.streams else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
