//! The SQLite store against the suite that every store passes.

use std::sync::Arc;

use healthmate_storage::Store;
use healthmate_storage::conformance::{Failed, Harness, Outcome, model};
use healthmate_storage_sqlite::{Options, SqliteStore};

/// Reopening it closes the file: the lock refuses a second store on the same folder.
fn harness() -> Result<Harness, Failed> {
    let folder = tempfile::tempdir()?;
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
