//! What storage must do.
//!
//! Traits by use case, implemented by every store and held together by [`Store`]: the event log, the measurements, the
//! directory of users and care teams, their credentials, the audit trail, and the probe for readiness. The in-memory store is in
//! [`memory`]; the list of checks that every store passes is in [`conformance`].
//!
//! Whoever changes users, care teams or credentials says who asks for it ([`By`]), and the record of the change is appended
//! to the [`AuditTrail`] in the same transaction.
//!
//! To add a method: add it to its trait, to every store, and to the conformance suite; a test counts the methods
//! and fails for one that the suite does not name.
//!
//! Rows and log events of one change are one transaction. A method that returned `Ok` has reached the disk.

mod audit;
mod break_glass;
#[cfg(any(test, feature = "conformance"))]
#[expect(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a check fails by the first operation or assertion that does"
)]
pub mod conformance;
mod credentials;
mod directory;
mod erasure;
mod log;
mod measurements;
pub mod memory;
mod notifications;
pub mod payload;
pub mod seal;

pub use audit::{AccessLogQuery, AuditTrail};
pub use break_glass::{BreakGlasses, Opened, OpenedPatient, Opening};
pub use credentials::{
    API_TOKEN_REMEMBERED_MS, ApiToken, Credentials, MAX_API_TOKENS, MAX_PASSKEYS, NewPassword, NewSignIn,
    Passkey, Revocation, Revoked, Rotated, Rotation, SecretHash, SignIn, SignInEnd, SignIns,
};
pub use directory::{CircleMember, Directory, Manager};
pub use erasure::{AUDIT_KEPT, Erased, Erasure};
pub use log::{CommitListener, Event, EventKind, EventLog, LogRange, Series, new_epoch};
pub use measurements::{
    Cursor, CursorError, Idempotency, MeasurementPage, MeasurementQuery, Measurements, Recording,
};
pub use memory::MemoryStore;
pub use notifications::{
    NewNotification, NotificationPage, NotificationQuery, Notifications, StoredNotification,
};
pub use payload::{RecordedAt, event_payload, notification_payload};

use async_trait::async_trait;
use healthmate_care::Role;

/// Why storage did not do as asked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store cannot be written or read now; later it may.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// There is no room left on the disk.
    #[error("storage is full")]
    Full,
    /// It exists already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// It does not exist.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// What the change was decided by is not so any more.
    #[error("the {0} was changed meanwhile")]
    Changed(&'static str),
    /// The user has as many of it as a user may.
    #[error("a user has at most {1} {0}s: take one back first")]
    TooMany(&'static str, u32),
    /// A user of this role keeps it, and no other one gets it later.
    #[error("a {0} is one from the beginning and stays one: add another user")]
    RoleStays(Role),
    /// The idempotency key was used for a different request.
    #[error("the idempotency key was used for a different request")]
    IdempotencyConflict,
}

/// Whether the store works.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Commits something of no consequence. After a write that found the disk full, it succeeds only when there is
    /// room again for some hundred measurements.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn check_writable(&self) -> Result<(), Error>;
}

/// Everything a store does.
pub trait Store:
    EventLog
    + Measurements
    + Directory
    + Credentials
    + AuditTrail
    + Erasure
    + Notifications
    + BreakGlasses
    + Probe
{
}

impl<T> Store for T where
    T: EventLog
        + Measurements
        + Directory
        + Credentials
        + AuditTrail
        + Erasure
        + Notifications
        + BreakGlasses
        + Probe
{
}
