//! What a benchmark must not leave behind when it is told to stop in its middle: server processes and their folders.
//!
//! The load keeps its thread busy and hears no signal, so another thread listens, clears away and ends the process.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

static LEFTOVERS: Mutex<Leftovers> = Mutex::new(Leftovers { children: Vec::new(), folders: Vec::new() });

struct Leftovers {
    children: Vec<u32>,
    folders: Vec<PathBuf>,
}

fn leftovers() -> MutexGuard<'static, Leftovers> {
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process that ends with its owner, or with this process where a signal ends it.
pub(crate) struct Kept(Child);

impl Kept {
    /// Keeps a child that has just been started.
    pub(crate) fn new(child: Child) -> Self {
        leftovers().children.push(child.id());
        Self(child)
    }

    /// Asks it to end, with SIGTERM.
    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        kill_process(pid(self.0.id()).context("it has no id")?, Signal::TERM)
            .context("cannot stop the server")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Held until it is gone, so that nobody kills whoever has its id next.
        let mut left = leftovers();
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
        left.children.retain(|id| *id != self.0.id());
    }
}

/// A temporary folder that goes with its owner, or with this process where a signal ends it.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// Makes a folder below `parent`.
    pub(crate) fn below(parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("healthmate-bench-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("no folder in {}", parent.display()))?;
        leftovers().folders.push(folder.path().to_owned());
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        leftovers().folders.retain(|path| path != self.0.path());
    }
}

/// Kills the children, removes the folders, and lets no other begin: the process ends after it.
pub(crate) fn clear_away() {
    let left = leftovers();
    for id in &left.children {
        // It may have ended by itself.
        let _ = pid(*id).map(|pid| kill_process(pid, Signal::KILL));
    }
    for folder in &left.folders {
        // What a dying server still writes stays; nothing more can be done.
        let _ = std::fs::remove_dir_all(folder);
    }
    // Never given back: whoever would start another server now waits for the end.
    std::mem::forget(left);
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}
