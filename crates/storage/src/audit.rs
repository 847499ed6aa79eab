//! The audit trail of a store.

use async_trait::async_trait;
use healthmate_care::audit::{Checkpoint, Link};
use healthmate_care::{AuditEntry, AuditRecord};
use healthmate_protocol::{Timestamp, UserId};

use crate::Error;

/// Which records of a patient to read.
#[derive(Clone, Debug)]
pub struct AccessLogQuery {
    /// Whose data it was.
    pub patient: UserId,
    /// Only what was done at or after this.
    pub from: Option<Timestamp>,
    /// Only what was done before this.
    pub to: Option<Timestamp>,
    /// Only records before this number.
    pub before: Option<u64>,
    /// How many at most, 1 to [`healthmate_protocol::MAX_PAGE`].
    pub limit: u32,
}

/// The audit trail: appended to, and never changed.
///
/// A change is recorded by the method that makes it. What changes nothing, such as a read, is recorded with
/// [`AuditTrail::audit`] before it is answered.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Appends records, all or none, in order.
    ///
    /// # Errors
    /// If the store cannot be written: then what they describe must not be done.
    async fn audit(&self, records: Vec<AuditRecord>) -> Result<(), Error>;

    /// The number and link of the last record; `None` where there is none.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn audit_head(&self) -> Result<Option<(u64, Link)>, Error>;

    /// Keeps a checkpoint beside the trail, for good.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn add_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Error>;

    /// The checkpoint that was added last, if there is one.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error>;

    /// The records after `seq`, in order, at most `limit`; from the first one after 0. Nothing is checked: that is done by
    /// [`healthmate_care::audit::link`].
    ///
    /// # Errors
    /// If the store cannot be read, or holds a word that is none of the trail's.
    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, Error>;

    /// The records of what was done with a patient's data, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read, or holds a word that is none of the trail's.
    async fn access_log(&self, query: AccessLogQuery) -> Result<Vec<AuditEntry>, Error>;
}
