//! The SQLite store against the suite that every store passes.

use std::collections::VecDeque;
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
fn folder_for_many() -> std::io::Result<TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

#[test]
fn it_is_like_the_store_in_memory() -> Outcome {
    alike::run(100, || harness_in(folder_for_many()?))
}

/// A server and a command beside it, each with what it remembers: instead of being opened again, the other one goes on.
#[test]
fn two_of_one_folder_are_like_one() -> Outcome {
    alike::run(100, || {
        let (folder, mut open) = (folder_for_many()?, VecDeque::new());
        Harness::new(Box::new(move |clock| {
            let options = Options { exclusive: open.is_empty(), ..Options::default() };
            let next = match open.len() {
                2 => open.pop_front().ok_or("two are open")?,
                _ => SqliteStore::open(folder.path(), &options, clock)?,
            };
            open.push_back(Arc::clone(&next));
            Ok(next as Arc<dyn Store>)
        }))
    })
}
