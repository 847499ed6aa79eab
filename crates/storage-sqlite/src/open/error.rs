//! Why a data folder could not be opened: each one a sentence for the person who starts the server.

use std::path::{Path, PathBuf};

use healthmate_storage::Error;
use healthmate_storage::seal::{KeyId, KeySource, KeySourceError};
use rusqlite::ErrorCode;

use crate::failure::{Failure, storage_error};

/// Why the store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no data folder, and none could be made.
    #[error(
        "cannot make the data folder {} ({source}): make it yourself, or name another one with --data",
        folder.display()
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The data folder is there, and files cannot be made in it.
    #[error(
        "cannot write in the data folder {} ({source}): let the user who runs healthmate write there, \
         or name another one with --data",
        folder.display()
    )]
    FolderReadOnly {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database can be read and not written.
    #[error(
        "cannot write the database {}: let the user who runs healthmate write the file and its folder",
        file.display()
    )]
    ReadOnly {
        /// The database.
        file: PathBuf,
    },
    /// A later version of this program wrote the database.
    #[error(
        "the database {} has schema version {found} and this healthmate knows versions up to {known}: \
         run the newer healthmate, or restore a backup that was made before it",
        file.display()
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        found: i32,
        /// The newest schema version this program knows.
        known: i32,
    },
    /// It is an SQLite database of another program.
    #[error(
        "the database {} belongs to another program: name another data folder with --data",
        file.display()
    )]
    NotOurs {
        /// The database.
        file: PathBuf,
    },
    /// It is no SQLite database.
    #[error(
        "{} is not a database: restore it from a backup, or move it away to start with an empty one",
        file.display()
    )]
    NotADatabase {
        /// The file.
        file: PathBuf,
    },
    /// The database is damaged.
    #[error(
        "the database {} is damaged ({problem}): keep a copy of the file and restore it from a backup",
        file.display()
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// The first thing that is wrong with it.
        problem: String,
    },
    /// Another server has the folder.
    #[error(
        "the data folder {} is in use by another healthmate server: stop that one, or name another folder with --data",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no room on the disk.
    #[error("the disk that holds {} is full: make room and start again", file.display())]
    Full {
        /// The database.
        file: PathBuf,
    },
    /// The key ring cannot be had.
    #[error(transparent)]
    Keys(#[from] KeySourceError),
    /// The ring lacks a key.
    #[error(
        "{ring} lacks a key that the database is sealed with (it needs {needed}): restore it from its backup"
    )]
    NoKey {
        /// Which ring.
        ring: KeySource,
        /// The ids of the keys that the database needs.
        needed: String,
    },
    /// The ring has another key under the id of one that the database needs.
    #[error(
        "{ring} has another key {id} than the one that the database is sealed with: restore it from its backup"
    )]
    WrongKey {
        /// Which ring.
        ring: KeySource,
        /// Which key.
        id: KeyId,
    },
    /// Something else went wrong.
    #[error("cannot open the database {} ({problem}): look at the file, its folder and its disk", file.display())]
    Other {
        /// The database.
        file: PathBuf,
        /// What SQLite says.
        problem: String,
    },
}

impl OpenError {
    pub(crate) fn from_failure(path: &Path, failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::from_sqlite(path, &error),
            refused @ Failure::Refused(_) => match storage_error(refused) {
                Error::Full => Self::Full { file: path.to_owned() },
                error => Self::Other { file: path.to_owned(), problem: error.to_string() },
            },
        }
    }

    pub(crate) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let file = path.to_owned();
        let problem = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { file },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { file, problem },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { file },
            Some(ErrorCode::DiskFull) => Self::Full { file },
            _ => Self::Other { file, problem },
        }
    }
}
