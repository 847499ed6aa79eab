//! A server under load: its process, the core it runs on, and what it uses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::leftovers::Kept;
use anyhow::{Context, anyhow};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of the servers, where there are two.
const SERVER_CORE: usize = 0;
/// The core of the generator.
const GENERATOR_CORE: usize = 1;

/// Where server and generator run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The server alone on the first core, the generator on the second.
    Apart,
    /// Both wherever the system puts them.
    Shared,
}

impl Cores {
    /// Apart if the machine has two cores to give.
    pub(crate) fn apart() -> Self {
        let free = sched_getaffinity(None);
        let both = free.is_ok_and(|free| free.is_set(SERVER_CORE) && free.is_set(GENERATOR_CORE));
        if both { Self::Apart } else { Self::Shared }
    }

    /// Moves this thread to the generator's core.
    pub(crate) fn take_generators(self) -> anyhow::Result<()> {
        self.pin(GENERATOR_CORE)
    }

    /// Moves this thread to the servers' core.
    pub(crate) fn take_servers(self) -> anyhow::Result<()> {
        self.pin(SERVER_CORE)
    }

    fn pin(self, core: usize) -> anyhow::Result<()> {
        if self == Self::Shared {
            return Ok(());
        }
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores).with_context(|| format!("cannot move to core {core}"))
    }
}

/// A server process, killed when it is dropped.
pub(crate) struct Process {
    child: Option<Kept>,
    pid: Option<u32>,
    address: SocketAddr,
}

impl Process {
    /// Starts a server that prints a line with `://ADDRESS` once it listens.
    pub(crate) fn start(mut command: Command, cores: Cores) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // A child runs where its parent did.
        let before = sched_getaffinity(None)?;
        cores.pin(SERVER_CORE)?;
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        sched_setaffinity(None, &before)?;
        let mut child = started.with_context(|| format!("cannot start {name}"))?;
        let pid = child.id();
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let mut process =
            Self { child: Some(Kept::new(child)), pid: Some(pid), address: ([127, 0, 0, 1], 0).into() };
        for line in lines.into_iter().flatten() {
            if let Some((_, address)) = line?.split_once("://") {
                process.address = address.trim().trim_end_matches('/').parse()?;
                return Ok(process);
            }
        }
        Err(anyhow!("{name} ended before it said where it listens"))
    }

    /// A server that runs already. What it uses is known if its process is.
    pub(crate) fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Self { child: None, pid, address }
    }

    /// Asks it to end, with SIGTERM.
    ///
    /// # Errors
    /// If it is none of our own.
    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        self.child.as_ref().context("the server is not ours to stop")?.ask_to_stop()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.child.as_mut().map_or(Ok(false), Kept::has_ended)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many files and sockets it has open; 0 where its process is not known.
    pub(crate) fn open_files(&self) -> anyhow::Result<usize> {
        let Some(pid) = self.pid else { return Ok(0) };
        Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
    }

    /// What it has used until now; nothing where its process is not known.
    pub(crate) fn usage(&self) -> Usage {
        self.pid.and_then(|pid| usage(pid).ok()).unwrap_or_default()
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time of all its threads that live, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Resident memory, in bytes.
    pub(crate) rss: u64,
}

fn usage(pid: u32) -> anyhow::Result<Usage> {
    let mut cpu_ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has just ended has no file any more.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        cpu_ns += first_number(&text);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(Usage { cpu_ns, rss: first_number(resident.unwrap_or_default()) * 1024 })
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Time that all processes together have spent on the two cores, in nanoseconds.
pub(crate) fn busy_ns() -> u64 {
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let cores = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    let busy = |line: &str| {
        let times: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        times.iter().take(8).sum::<u64>() - times.iter().skip(3).take(2).sum::<u64>()
    };
    cores.map(busy).sum::<u64>() * tick_ns
}

/// What this process, the generator, has used.
pub(crate) fn own_usage() -> Usage {
    usage(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()).unwrap_or_default()
}
