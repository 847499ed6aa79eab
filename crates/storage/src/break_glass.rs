//! Patients who were opened in an emergency.

use std::fmt;

use async_trait::async_trait;
use healthmate_care::{BreakGlass, By};
use healthmate_protocol::{Timestamp, UserId};
use uuid::Uuid;

use crate::{Error, NewNotification};

/// A patient to open.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    /// The access.
    pub access: BreakGlass,
    /// Why, as the member wrote it.
    pub reason: String,
    /// Who is told.
    pub notifications: Vec<NewNotification>,
    /// How many accesses the member may hold at once, this one included.
    pub at_once: u32,
    /// How many the member may begin, this one included, from `day_began` on.
    pub per_day: u32,
    /// From when on they are counted.
    pub day_began: Timestamp,
}

/// The reason may hold health data: `Debug` shows who, and whom.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("access", &self.access).finish_non_exhaustive()
    }
}

/// What became of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It holds.
    Yes,
    /// The member holds as many as one may.
    TooManyAtOnce,
    /// The member began as many as one may.
    TooManyADay,
}

/// An access of a patient's history.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedPatient {
    /// The access: it ended at `ends_at`, if that is over.
    pub access: BreakGlass,
    /// Why, as the member wrote it.
    pub reason: String,
}

/// The reason may hold health data: `Debug` shows who, and whom.
impl fmt::Debug for OpenedPatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedPatient").field("access", &self.access).finish_non_exhaustive()
    }
}

/// Break-glass accesses. Each counts as a change of the directory, when it begins and when somebody ends it.
#[async_trait]
pub trait BreakGlasses: Send + Sync {
    /// Opens a patient: the access, its record `break_glass_started`, the notifications and their events are one
    /// transaction. Past a limit nothing is stored.
    ///
    /// # Errors
    /// `NotFound("patient")` if the patient is unknown or no patient, `NotFound("user")` if the member, or one who is
    /// to be told, is unknown, `Exists("break-glass access")` or `Exists("notification")` if an id is taken; or the store
    /// cannot be written.
    async fn break_glass(&self, opening: Opening, by: By) -> Result<Opened, Error>;

    /// Ends an access at the time of `by`, with its record `break_glass_ended`; false if it was over before, which
    /// changes nothing.
    ///
    /// # Errors
    /// `NotFound("break-glass access")` if there is none; or the store cannot be written.
    async fn end_break_glass(&self, id: Uuid, by: By) -> Result<bool, Error>;

    /// The accesses to a patient, the newest first, at most `limit`.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn break_glasses_of(&self, patient: &UserId, limit: u32) -> Result<Vec<OpenedPatient>, Error>;

    /// The member's access to the patient that ends last, also when it is over.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn break_glass_between(
        &self,
        patient: &UserId,
        member: &UserId,
    ) -> Result<Option<BreakGlass>, Error>;

    /// The member's accesses that end after `now`, by patient.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn break_glasses_by(&self, member: &UserId, now: Timestamp) -> Result<Vec<BreakGlass>, Error>;

    /// Writes the record `break_glass_ended` of accesses that ended by themselves up to `now`, once for each, at most
    /// `limit` of them, and gives them back.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn record_ended_break_glasses(&self, now: Timestamp, limit: u32) -> Result<Vec<BreakGlass>, Error>;
}
