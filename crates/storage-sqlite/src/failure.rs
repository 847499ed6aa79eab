//! What goes wrong between SQLite and a caller.

use healthmate_storage::Error;
use rusqlite::ErrorCode;

/// Why something in a transaction did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was asked for something that cannot be: this is the answer.
    #[error(transparent)]
    Refused(#[from] Error),
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// What a caller is told.
pub(crate) fn storage_error(failure: Failure) -> Error {
    match failure {
        Failure::Refused(error) => error,
        Failure::Sqlite(error) if is_full(&error) => Error::Full,
        Failure::Sqlite(rusqlite::Error::ToSqlConversionFailure(error)) if error.is::<Error>() => {
            error.downcast().map_or_else(|error| Error::Unavailable(error.to_string()), |error| *error)
        }
        // SQLite's texts name tables and columns, never values.
        Failure::Sqlite(error) => Error::Unavailable(error.to_string()),
    }
}

/// A refusal that came after a change: what was written must be undone.
pub(crate) fn refused_late(error: Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// Whether there was no room on the disk.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether the error says something about the one statement only, so that others in the transaction may stand.
pub(crate) fn is_local(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => {
            matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        }
        // rusqlite's own: a value that does not fit its column.
        None => true,
    }
}
