//! A store that cannot write.

use async_trait::async_trait;
use healthmate_care::audit::{Checkpoint, Link};
use healthmate_care::{AuditEntry, AuditRecord, BreakGlass, By, CareRelation, Role, User};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{Epoch, NotificationId, Offset, Timestamp, Topic, UserId};
use healthmate_storage::memory::MemoryStore;
use healthmate_storage::{
    AccessLogQuery, ApiToken, AuditTrail, BreakGlasses, CircleMember, CommitListener, Credentials, Directory,
    Erased, Erasure, Error, Event, EventLog, LogRange, Manager, MeasurementPage, MeasurementQuery,
    Measurements, NewNotification, NewPassword, NewSignIn, NotificationPage, NotificationQuery,
    Notifications, Opened, OpenedPatient, Opening, Passkey, Probe, Recording, Revocation, Rotated, Rotation,
    SecretHash, SignIn, SignInEnd,
};
use uuid::Uuid;

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

    async fn set_role(&self, _: &UserId, _: Role, _: By) -> Result<(), Error> {
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

    async fn grant_access(&self, _: CareRelation, _: Manager, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn end_access(&self, _: &UserId, _: &UserId, _: Manager, _: By) -> Result<(), Error> {
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
impl Credentials for FailingStore {
    async fn password(&self, user: &UserId) -> Result<Option<String>, Error> {
        self.inner.password(user).await
    }

    async fn set_password(&self, _: NewPassword, _: SignInEnd, _: By) -> Result<Vec<Uuid>, Error> {
        self.fail().await
    }

    async fn add_sign_in(&self, _: NewSignIn, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn sign_ins(&self, user: &UserId) -> Result<Vec<SignIn>, Error> {
        self.inner.sign_ins(user).await
    }

    async fn rotate(&self, _: Rotation, _: By) -> Result<Rotated, Error> {
        self.fail().await
    }

    async fn end_sign_ins(&self, _: SignInEnd, _: By) -> Result<Vec<Uuid>, Error> {
        self.fail().await
    }

    async fn add_api_token(&self, _: ApiToken, _: SecretHash, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn api_token(&self, id: Uuid) -> Result<Option<(ApiToken, SecretHash)>, Error> {
        self.inner.api_token(id).await
    }

    async fn api_tokens(&self, user: &UserId) -> Result<Vec<ApiToken>, Error> {
        self.inner.api_tokens(user).await
    }

    async fn revoke_api_token(&self, _: &UserId, _: Uuid, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn api_tokens_used(&self, _: Vec<(Uuid, Timestamp)>) -> Result<(), Error> {
        self.fail().await
    }

    async fn add_passkey(&self, _: Passkey, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, Error> {
        self.inner.passkey(credential).await
    }

    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, Error> {
        self.inner.passkeys(user).await
    }

    async fn passkey_used(&self, _: &[u8], _: u32, _: Timestamp) -> Result<bool, Error> {
        self.fail().await
    }

    async fn remove_passkey(&self, _: &UserId, _: &[u8], _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn revoke_token(&self, _: &UserId, _: Revocation, _: By) -> Result<(), Error> {
        self.fail().await
    }

    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, Error> {
        self.inner.revocations(now).await
    }

    async fn forget_ended(&self, _: Timestamp, _: u32) -> Result<u64, Error> {
        self.fail().await
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

    async fn access_log(&self, query: AccessLogQuery) -> Result<Vec<AuditEntry>, Error> {
        self.inner.access_log(query).await
    }

    async fn audit_head(&self) -> Result<Option<(u64, Link)>, Error> {
        self.inner.audit_head().await
    }

    async fn add_checkpoint(&self, _: Checkpoint) -> Result<(), Error> {
        self.fail().await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        self.inner.last_checkpoint().await
    }
}

#[async_trait]
impl Erasure for FailingStore {
    async fn erase(&self, _: &UserId, _: By) -> Result<Erased, Error> {
        self.fail().await
    }
}

#[async_trait]
impl Notifications for FailingStore {
    async fn notify(&self, _: Vec<NewNotification>) -> Result<(), Error> {
        self.fail().await
    }

    async fn notifications(&self, query: NotificationQuery) -> Result<NotificationPage, Error> {
        self.inner.notifications(query).await
    }

    async fn notification_seen(&self, _: &UserId, _: &NotificationId, _: Timestamp) -> Result<(), Error> {
        self.fail().await
    }
}

#[async_trait]
impl BreakGlasses for FailingStore {
    async fn break_glass(&self, _: Opening, _: By) -> Result<Opened, Error> {
        self.fail().await
    }

    async fn end_break_glass(&self, _: Uuid, _: By) -> Result<bool, Error> {
        self.fail().await
    }

    async fn break_glasses_of(&self, patient: &UserId, limit: u32) -> Result<Vec<OpenedPatient>, Error> {
        self.inner.break_glasses_of(patient, limit).await
    }

    async fn break_glass_between(
        &self,
        patient: &UserId,
        member: &UserId,
    ) -> Result<Option<BreakGlass>, Error> {
        self.inner.break_glass_between(patient, member).await
    }

    async fn break_glasses_by(&self, member: &UserId, now: Timestamp) -> Result<Vec<BreakGlass>, Error> {
        self.inner.break_glasses_by(member, now).await
    }

    async fn record_ended_break_glasses(&self, _: Timestamp, _: u32) -> Result<Vec<BreakGlass>, Error> {
        self.fail().await
    }
}

#[async_trait]
impl Probe for FailingStore {
    async fn check_writable(&self) -> Result<(), Error> {
        self.fail().await
    }
}
