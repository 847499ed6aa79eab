//! A store that cannot write.

use async_trait::async_trait;
use healthmate_care::{AuditEntry, AuditRecord, By, CareRelation, User};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{Epoch, Offset, Timestamp, Topic, UserId};
use healthmate_storage::memory::MemoryStore;
use healthmate_storage::{
    AuditTrail, CircleMember, CommitListener, Directory, Error, Event, EventLog, LogRange, MeasurementPage,
    MeasurementQuery, Measurements, Probe, Recording,
};

/// How it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failing {
    Full,
    Unavailable,
    /// It never answers.
    Hanging,
    /// Care teams cannot be read.
    Reading,
}

/// Reads as `inner` does, and writes nothing.
pub(crate) struct FailingStore {
    pub(crate) inner: MemoryStore,
    pub(crate) failing: Failing,
}

impl FailingStore {
    async fn fail<T>(&self) -> Result<T, Error> {
        match self.failing {
            Failing::Full => Err(Error::Full),
            Failing::Unavailable | Failing::Reading => {
                Err(Error::Unavailable("/secret/path is gone".to_owned()))
            }
            Failing::Hanging => std::future::pending().await,
        }
    }
}

#[async_trait]
impl EventLog for FailingStore {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn set_commit_listener(&self, listener: CommitListener) {
        self.inner.set_commit_listener(listener);
    }

    async fn range(&self, topic: &Topic) -> Result<LogRange, Error> {
        self.inner.range(topic).await
    }

    async fn read_after(&self, topic: &Topic, after: Offset, limit: u32) -> Result<Vec<Event>, Error> {
        self.inner.read_after(topic, after, limit).await
    }

    async fn trim(&self, _: Timestamp, _: u32) -> Result<u64, Error> {
        self.fail().await
    }

    async fn renew_epoch(&self) -> Result<Epoch, Error> {
        self.fail().await
    }
}

#[async_trait]
impl Measurements for FailingStore {
    async fn record(&self, _: Recording) -> Result<Vec<MeasurementReceipt>, Error> {
        self.fail().await
    }

    async fn newest(&self, patient: &UserId) -> Result<Vec<RecordedMeasurement>, Error> {
        self.inner.newest(patient).await
    }

    async fn measurements(&self, query: MeasurementQuery) -> Result<MeasurementPage, Error> {
        self.inner.measurements(query).await
    }

    async fn forget_idempotency_keys(&self, _: Timestamp, _: u32) -> Result<u64, Error> {
        self.fail().await
    }
}

#[async_trait]
impl Directory for FailingStore {
    async fn add_user(&self, _: User, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, Error> {
        self.inner.user(id).await
    }

    async fn users(&self) -> Result<Vec<User>, Error> {
        self.inner.users().await
    }

    async fn set_active(&self, _: &UserId, _: bool, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn add_care_relation(&self, _: CareRelation, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn care_relation(&self, patient: &UserId, member: &UserId) -> Result<Option<CareRelation>, Error> {
        if matches!(self.failing, Failing::Reading) {
            return self.fail().await;
        }
        self.inner.care_relation(patient, member).await
    }

    async fn remove_care_relation(&self, _: &UserId, _: &UserId, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn directory_version(&self) -> Result<u64, Error> {
        self.inner.directory_version().await
    }

    async fn care_team(&self, patient: &UserId) -> Result<Vec<CareRelation>, Error> {
        self.inner.care_team(patient).await
    }

    async fn circle(&self, patient: &UserId) -> Result<Vec<CircleMember>, Error> {
        if matches!(self.failing, Failing::Reading) {
            return self.fail().await;
        }
        self.inner.circle(patient).await
    }

    async fn patients_of(&self, member: &UserId) -> Result<Vec<CareRelation>, Error> {
        self.inner.patients_of(member).await
    }
}

#[async_trait]
impl AuditTrail for FailingStore {
    async fn audit(&self, _: Vec<AuditRecord>) -> Result<(), Error> {
        self.fail().await
    }

    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, Error> {
        self.inner.audit_after(seq, limit).await
    }
}

#[async_trait]
impl Probe for FailingStore {
    async fn check_writable(&self) -> Result<(), Error> {
        self.fail().await
    }
}
