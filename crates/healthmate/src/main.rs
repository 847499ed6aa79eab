//! The command line of HealthMate: serve, the clients `replay`, `waveform` and `watch`, and what an administrator needs.
//!
//! Each command is a file under `cli/`; the clients are in `client/`, `replay/`, `waveform/` and `watch/`, the demo's
//! people and devices in `demo/`, the loads that measure a server in `bench/`. Data goes to stdout, everything else to stderr.

mod bench;
mod cli;
mod client;
mod demo;
mod replay;
mod watch;
mod waveform;

use std::process::ExitCode;

// Many small messages of many threads: it is faster here than the system's, and keeps less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
