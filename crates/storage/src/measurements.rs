//! Measurements: recording them, and reading them back.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use healthmate_care::{AuditRecord, Measurement, Metric};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{Offset, Timestamp, UserId};

use crate::Error;

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
