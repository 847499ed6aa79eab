//! The SQLite store against the suite that every store passes.

use std::sync::Arc;

use healthmate_storage::Store;
use healthmate_storage::conformance::{Failed, Harness, Outcome, alike, model};
use healthmate_storage_sqlite::{Options, SqliteStore};
use tempfile::TempDir;

fn harness() -> Result<Harness, Failed> {
    harness_in(tempfile::tempdir()?)
}

/// Reopening it closes the file: the lock refuses a second store on the same folder.
fn harness_in(folder: TempDir) -> Result<Harness, Failed> {
    Harness::new(Box::new(move |clock| {
        let store = SqliteStore::open(folder.path(), &Options::default(), clock)?;
        Ok(store as Arc<dyn Store>)
    }))
}

healthmate_storage::conformance_tests!(harness);

#[test]
fn it_agrees_with_the_model() -> Outcome {
    model::run(24, harness)
}

/// In the system's memory, where there is a folder for it: what is compared are answers, and there are many.
#[test]
fn it_is_like_the_store_in_memory() -> Outcome {
    let memory = std::path::Path::new("/dev/shm");
    let folder = || if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    alike::run(150, || harness_in(folder()?))
}
