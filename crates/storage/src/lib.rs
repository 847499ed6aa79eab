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
mod erasure;
pub mod memory;
mod notifications;
pub mod payload;
pub mod seal;

pub use audit::{AccessLogQuery, AuditTrail};
pub use break_glass::{BreakGlasses, Opened, OpenedPatient, Opening};
pub use credentials::{
    ApiToken, Credentials, NewSignIn, Passkey, Revocation, Revoked, Rotated, Rotation, SecretHash, SignIn,
    SignInEnd, SignIns,
};
pub use erasure::{AUDIT_KEPT, Erased, Erasure};
pub use memory::MemoryStore;
pub use notifications::{
    NewNotification, NotificationPage, NotificationQuery, Notifications, StoredNotification,
};
pub use payload::{RecordedAt, event_payload, notification_payload};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use healthmate_care::{AuditRecord, By, CareRelation, Clock, Measurement, Metric, Role, User};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{Epoch, Offset, Timestamp, Topic, UserId};
use serde_json::value::RawValue;

/// A durable event as the log keeps it.
#[derive(Clone)]
pub struct Event {
    /// What carries it.
    pub topic: Topic,
    /// Its place there.
    pub offset: Offset,
    /// Its `type` on the wire.
    pub kind: EventKind,
    /// When it was stored.
    pub recorded_at: Timestamp,
    /// What it is a value of: known of events that were just committed, `None` of those read back.
    pub series: Option<Series>,
    /// The JSON of its `data`.
    pub payload: Arc<RawValue>,
}

/// What an event is a value of, within its topic: of two in one series, the one taken later is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// What was measured.
    pub metric: Metric,
    /// When.
    pub taken_at: Timestamp,
}

/// An event holds health data: `Debug` shows its place only.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {})", self.topic, self.offset)
    }
}

/// The kinds of durable event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A measurement was stored.
    HealthUpdate,
    /// A user was told something.
    Notification,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::HealthUpdate, Self::Notification];

    /// The `type` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HealthUpdate => "health_update",
            Self::Notification => "notification",
        }
    }
}

/// Measurements to store, all or none.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Whose they are: a user with the role `patient`.
    pub patient: UserId,
    /// Who sent them.
    pub author: UserId,
    /// 1 to [`healthmate_protocol::MAX_BATCH`] of them.
    pub measurements: Vec<Measurement>,
    /// Names the request, so that a repetition gets the first answer.
    pub idempotency: Option<Idempotency>,
    /// What is recorded of it in the audit trail, in the same transaction; where it is a repetition of a request, the
    /// first one was.
    pub audit: Option<Box<AuditRecord>>,
}

/// Names a request of an author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// What the client calls the request; unique for an author.
    pub key: String,
    /// A digest of the request, so that a different request under the same key is refused.
    pub digest: [u8; 32],
}

/// Which measurements to read.
#[derive(Clone, Debug)]
pub struct MeasurementQuery {
    /// Whose.
    pub patient: UserId,
    /// Only this metric.
    pub metric: Option<Metric>,
    /// Only those taken at or after this.
    pub from: Option<Timestamp>,
    /// Only those taken before this.
    pub to: Option<Timestamp>,
    /// How many at most, 1 to [`healthmate_protocol::MAX_PAGE`].
    pub limit: u32,
    /// Go on after this place.
    pub after: Option<Cursor>,
}

/// A page of measurements, newest `taken_at` first, then highest offset first.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementPage {
    /// The page.
    pub measurements: Vec<RecordedMeasurement>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Cursor>,
}

/// A place in the history of measurements: the last one of a page. Its text is what clients send back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the last one was taken.
    pub taken_at: Timestamp,
    /// Its offset.
    pub offset: Offset,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.taken_at.as_micros(), self.offset)
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: send the next_cursor of the page before, unchanged")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (micros, offset) = text.split_once('.').ok_or(CursorError)?;
        Ok(Self {
            taken_at: Timestamp::from_micros(micros.parse().map_err(|_| CursorError)?),
            offset: Offset(offset.parse().map_err(|_| CursorError)?),
        })
    }
}

/// Somebody of a patient's circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleMember {
    /// The user.
    pub user: User,
    /// The place in the patient's care team, if there is one.
    pub relation: Option<CareRelation>,
}

/// How far a topic's log reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The oldest offset kept; `head + 1` if none is.
    pub oldest: Offset,
    /// The newest offset ever given; 0 if there was none.
    pub head: Offset,
}

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
    /// A user of this role keeps it, and no other one gets it later.
    #[error("a {0} is one from the beginning and stays one: add another user")]
    RoleStays(Role),
    /// The idempotency key was used for a different request.
    #[error("the idempotency key was used for a different request")]
    IdempotencyConflict,
}

/// A new epoch, which nobody can guess: 16 characters that hold 96 random bits.
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "letters, digits, '-' and '_' are what an epoch is made of"
)]
pub fn new_epoch(clock: &dyn Clock) -> Epoch {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let text: String =
        clock.random().iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect();
    Epoch::new(&text).expect("16 characters of the alphabet")
}

/// What hears of committed events: called on the writer's thread, so it must be quick and must not wait.
pub type CommitListener = Arc<dyn Fn(&[Event]) + Send + Sync>;

/// The log of durable events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The incarnation of the store. It stays the same when the store is opened again.
    fn epoch(&self) -> Epoch;

    /// Calls `listener` with the events of each commit, after it reached the disk; over all calls, each topic's
    /// events come in offset order without a hole. A later listener replaces an earlier one. The caller of `record`
    /// may have its answer before the listener is called; whoever wrote after that answer comes after it.
    fn set_commit_listener(&self, listener: CommitListener);

    /// How far the topic's log reaches. A topic that never had an event has `oldest` 1 and `head` 0.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn range(&self, topic: &Topic) -> Result<LogRange, Error>;

    /// The events after `after`, in order, at most `limit`. Where the log no longer reaches back that far, it starts
    /// with the oldest event kept.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn read_after(&self, topic: &Topic, after: Offset, limit: u32) -> Result<Vec<Event>, Error>;

    /// Forgets at most `limit` events stored before `before`, and says how many. A topic loses its oldest events only,
    /// up to the first that was stored at or after `before`, so that what is kept has no hole. Heads and
    /// measurements stay.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn trim(&self, before: Timestamp, limit: u32) -> Result<u64, Error>;

    /// Gives the store a new epoch, as must be done after a backup was restored.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn renew_epoch(&self) -> Result<Epoch, Error>;
}

/// Patients' measurements.
#[async_trait]
pub trait Measurements: Send + Sync {
    /// Stores measurements, their events, and the answer to their idempotency key, in one transaction; one receipt
    /// for each, in order. A measurement whose `client_id` its author used before for this patient is not stored
    /// again: its receipt is the first one, marked as a duplicate. A request whose idempotency key its author used
    /// before for the same request gets the first answer, unchanged, and stores nothing.
    ///
    /// # Errors
    /// `NotFound("patient")` if the patient is unknown or no patient, `NotFound("user")` if the author is unknown,
    /// `IdempotencyConflict` if the key was used for another request; or the store cannot be written.
    async fn record(&self, recording: Recording) -> Result<Vec<MeasurementReceipt>, Error>;

    /// A page of the history; empty for an unknown patient.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn measurements(&self, query: MeasurementQuery) -> Result<MeasurementPage, Error>;

    /// The newest measurement of each metric that the patient has one of: taken last, and of those the one stored last;
    /// in the order of [`Metric::ALL`].
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn newest(&self, patient: &UserId) -> Result<Vec<RecordedMeasurement>, Error>;

    /// Forgets at most `limit` idempotency keys first used before `before`, and says how many.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn forget_idempotency_keys(&self, before: Timestamp, limit: u32) -> Result<u64, Error>;
}

/// Users and care teams.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Adds a user.
    ///
    /// # Errors
    /// `Exists("user")` if the id is taken, `NotFound("patient")` if a device's patient is missing, unknown or no
    /// patient, `NotFound("device")` if `device_of` is given for another role; or the store cannot be written.
    async fn add_user(&self, user: User, by: By) -> Result<(), Error>;

    /// The user with this id.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn user(&self, id: &UserId) -> Result<Option<User>, Error>;

    /// All users, by id.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn users(&self) -> Result<Vec<User>, Error>;

    /// Enables or disables a user.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user; or the store cannot be written.
    async fn set_active(&self, id: &UserId, active: bool, by: By) -> Result<(), Error>;

    /// Gives a user another role. Patients and devices keep theirs, and nobody becomes a device: measurements, care teams
    /// and devices hang on it.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user, `RoleStays` if the role, or the one it has, is not to be changed; or
    /// the store cannot be written.
    async fn set_role(&self, id: &UserId, role: Role, by: By) -> Result<(), Error>;

    /// Lets a member into a patient's care team, or changes everything about the member's place there.
    ///
    /// # Errors
    /// `NotFound("patient")` if the patient is unknown or no patient, `NotFound("user")` if the member or who grants
    /// it is unknown; or the store cannot be written.
    async fn add_care_relation(&self, relation: CareRelation, by: By) -> Result<(), Error>;

    /// Takes a member out of a patient's care team. The other members stay.
    ///
    /// # Errors
    /// `NotFound("care relation")` if the two have none; or the store cannot be written.
    async fn remove_care_relation(&self, patient: &UserId, member: &UserId, by: By) -> Result<(), Error>;

    /// The member's place in the patient's care team.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn care_relation(&self, patient: &UserId, member: &UserId) -> Result<Option<CareRelation>, Error>;

    /// The relations of a patient's care team, by member.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn care_team(&self, patient: &UserId) -> Result<Vec<CareRelation>, Error>;

    /// The patient's circle, each once, by id: the patient, the patient's devices, and the members of the care team,
    /// also those whose time there has not begun or is over. Empty for a user who is unknown or no patient.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn circle(&self, patient: &UserId) -> Result<Vec<CircleMember>, Error>;

    /// The relations in which this user is the member, by patient.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn patients_of(&self, member: &UserId) -> Result<Vec<CareRelation>, Error>;

    /// A number that grows with every change of a user or a care relation, whichever process made it, and stays the
    /// same while there is none, also over a reopening. Access that was decided at another number must be decided
    /// again. It costs one small read, so that it can be asked every second.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn directory_version(&self) -> Result<u64, Error>;
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
