//! The store's own threads.

use std::path::Path;
use std::thread::{self, JoinHandle};

use crate::open::OpenError;

/// Starts a thread with a name; `path` is for the error.
pub(crate) fn spawn(
    name: &str,
    path: &Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|error| OpenError::Other { file: path.to_owned(), problem: error.to_string() })
}

/// Waits for threads to end. One that drops the last reference to its own store does not wait for itself.
pub(crate) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}
