//! What a client is told when storage says no.

use healthmate_protocol::ErrorCode;
use healthmate_session::Refused;
use healthmate_storage::Error;

/// Storage did not do it. What went wrong inside is logged, not told.
pub(crate) fn storage_refusal(error: &Error) -> Refused {
    match error {
        Error::Unavailable(_) => {
            tracing::error!(%error, "storage failed");
            Refused::new(ErrorCode::StorageUnavailable, "storage is unavailable now: nothing was stored")
        }
        Error::Full => {
            tracing::error!(%error, "storage failed");
            Refused::new(ErrorCode::StorageFull, "the server's disk is full: nothing was stored")
        }
        Error::IdempotencyConflict => Refused::new(ErrorCode::IdempotencyConflict, error.to_string()),
        Error::RoleStays(_) => Refused::field(ErrorCode::InvalidField, "role", error.to_string()),
        Error::TooMany(..) => Refused::new(ErrorCode::TooManyRequests, error.to_string()),
        Error::NotFound(_) | Error::Exists(_) | Error::Changed(_) => {
            Refused::new(ErrorCode::NotFound, error.to_string())
        }
    }
}
