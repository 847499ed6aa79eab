//! One server for one data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::OpenError;

/// The lock's file name in the data folder. The file stays; the lock ends with the process that holds it.
const LOCK: &str = "healthmate.lock";

/// Held by the server of a data folder, as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `dir`.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let unwritable = |source| OpenError::FolderReadOnly { folder: dir.to_owned(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.open(dir.join(LOCK)).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }
}
