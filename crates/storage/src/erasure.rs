//! Erasing a patient.

use async_trait::async_trait;
use healthmate_care::By;
use healthmate_protocol::{Timestamp, UserId};

use crate::Error;

/// Why records of the audit trail about an erased patient are kept.
pub const AUDIT_KEPT: &str = "the law has the audit trail kept for 6 years: 45 CFR 164.316(b)(2)";

/// What an erasure did. It holds counts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// When the patient was erased.
    pub at: Timestamp,
    /// Whether that was done before, so that this only looked for what was left.
    pub before: bool,
    /// How many rows went, by what they were; only what there was.
    pub rows: Vec<(&'static str, u64)>,
    /// How many records of the audit trail are about the patient: they stay, see [`AUDIT_KEPT`].
    pub audit_kept: u64,
}

/// Erasing.
#[async_trait]
pub trait Erasure: Send + Sync {
    /// Erases a patient, and the patient's devices: first, in one transaction with its audit record, the data keys, names,
    /// credentials, and all relations, so that nobody is let in any more and nothing sealed can be read; then, in small
    /// transactions, measurements and events. After a crash in between, the same call goes on.
    ///
    /// The ids stay taken, and nobody finds them: for every other method there is no such user. The topic keeps its head, so
    /// that no offset is given twice.
    ///
    /// # Errors
    /// `NotFound("patient")` if there is and was no such patient; or the store cannot be written.
    async fn erase(&self, patient: &UserId, by: By) -> Result<Erased, Error>;
}
