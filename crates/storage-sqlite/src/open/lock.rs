//! One server for one data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::OpenError;

/// The lock's file name in the data folder. The file stays; the lock ends with the process that holds it.
const LOCK: &str = "healthmate.lock";

/// Held by the server of a data folder, as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
}

/// Given back, not only closed: a process that is being started at this moment has inherited the open file, and would hold
/// the lock until its program runs.
impl Drop for FolderLock {
    fn drop(&mut self) {
        // Where it cannot be given back, it ends with the file.
        let _ = self.file.unlock();
    }
}

impl FolderLock {
    /// Takes the lock of `dir`.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let unwritable = |source| OpenError::FolderReadOnly { folder: dir.to_owned(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.open(dir.join(LOCK)).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_free_while_a_process_still_has_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = FolderLock::take(folder.path()).expect("free");
        let inherited = lock.file.try_clone().expect("as a new process gets it");
        assert!(FolderLock::take(folder.path()).is_err(), "it is held");
        drop(lock);
        assert!(FolderLock::take(folder.path()).is_ok(), "free again");
        drop(inherited);
    }
}
