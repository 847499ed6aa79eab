//! The store that forgets everything when the process ends: for tests, and the measure of what a store means.

mod break_glass;
mod credentials;
mod erasure;
mod notifications;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use healthmate_care::audit::{Checkpoint, Link};
use healthmate_care::{AuditEntry, AuditRecord, By, CareRelation, Clock, Role, User};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{Epoch, Offset, Timestamp, Topic, UserId};
use parking_lot::Mutex;

use crate::memory::state::State;
use crate::{
    AccessLogQuery, AuditTrail, CircleMember, CommitListener, Directory, Error, Event, EventLog, LogRange,
    Manager, MeasurementPage, MeasurementQuery, Measurements, Probe, Recording, new_epoch,
};

/// A store in memory, one mutex around everything.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held while a recording is stored and told of, so that events are told of in the order of their offsets.
    listener: Mutex<Option<CommitListener>>,
}

impl MemoryStore {
    /// An empty store with a new epoch.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State::new(new_epoch(clock.as_ref()));
        Self { clock, state: Mutex::new(state), listener: Mutex::new(None) }
    }
}

impl MemoryStore {
    /// Changes the state, and tells of the events of the change, in the order of their offsets.
    fn commit<T>(
        &self,
        change: impl FnOnce(&mut State, Timestamp) -> Result<(T, Vec<Event>), Error>,
    ) -> Result<T, Error> {
        let listener = self.listener.lock();
        let (done, events) = change(&mut self.state.lock(), self.clock.now())?;
        if let Some(listener) = listener.as_ref()
            && !events.is_empty()
        {
            listener(&events);
        }
        Ok(done)
    }
}

/// It holds health data: `Debug` shows the epoch only.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({})", self.epoch())
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    fn epoch(&self) -> Epoch {
        self.state.lock().epoch.clone()
    }

    fn set_commit_listener(&self, listener: CommitListener) {
        *self.listener.lock() = Some(listener);
    }

    async fn range(&self, topic: &Topic) -> Result<LogRange, Error> {
        Ok(self.state.lock().range(topic))
    }

    async fn read_after(&self, topic: &Topic, after: Offset, limit: u32) -> Result<Vec<Event>, Error> {
        Ok(self.state.lock().read_after(topic, after, limit))
    }

    async fn trim(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.state.lock().trim(before, limit))
    }

    async fn renew_epoch(&self) -> Result<Epoch, Error> {
        let epoch = new_epoch(self.clock.as_ref());
        self.state.lock().epoch = epoch.clone();
        Ok(epoch)
    }
}

#[async_trait]
impl Measurements for MemoryStore {
    async fn record(&self, recording: Recording) -> Result<Vec<MeasurementReceipt>, Error> {
        self.commit(|state, now| state.record(&recording, now))
    }

    async fn measurements(&self, query: MeasurementQuery) -> Result<MeasurementPage, Error> {
        Ok(self.state.lock().measurements(&query))
    }

    async fn newest(&self, patient: &UserId) -> Result<Vec<RecordedMeasurement>, Error> {
        Ok(self.state.lock().newest(patient))
    }

    async fn forget_idempotency_keys(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.state.lock().forget_idempotency_keys(before, limit))
    }
}

#[async_trait]
impl Directory for MemoryStore {
    async fn add_user(&self, user: User, by: By) -> Result<(), Error> {
        self.state.lock().add_user(user, by)
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, Error> {
        Ok(self.state.lock().users.get(id).cloned())
    }

    async fn users(&self) -> Result<Vec<User>, Error> {
        Ok(self.state.lock().users.values().cloned().collect())
    }

    async fn set_active(&self, id: &UserId, active: bool, by: By) -> Result<(), Error> {
        self.state.lock().set_active(id, active, by)
    }

    async fn set_role(&self, id: &UserId, role: Role, by: By) -> Result<(), Error> {
        self.state.lock().set_role(id, role, by)
    }

    async fn add_care_relation(&self, relation: CareRelation, by: By) -> Result<(), Error> {
        self.state.lock().add_care_relation(relation, by)
    }

    async fn remove_care_relation(&self, patient: &UserId, member: &UserId, by: By) -> Result<(), Error> {
        self.state.lock().remove_care_relation(patient, member, by)
    }

    async fn grant_access(&self, relation: CareRelation, manager: Manager, by: By) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.still_manages(&relation.patient, &manager)?;
        state.add_care_relation(relation, by)
    }

    async fn end_access(
        &self,
        patient: &UserId,
        member: &UserId,
        manager: Manager,
        by: By,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.still_manages(patient, &manager)?;
        state.remove_care_relation(patient, member, by)
    }

    async fn care_relation(&self, patient: &UserId, member: &UserId) -> Result<Option<CareRelation>, Error> {
        Ok(self.state.lock().care_relations(|r| r.patient == *patient && r.member == *member).pop())
    }

    async fn care_team(&self, patient: &UserId) -> Result<Vec<CareRelation>, Error> {
        Ok(self.state.lock().care_relations(|relation| relation.patient == *patient))
    }

    async fn circle(&self, patient: &UserId) -> Result<Vec<CircleMember>, Error> {
        Ok(self.state.lock().circle(patient))
    }

    async fn patients_of(&self, member: &UserId) -> Result<Vec<CareRelation>, Error> {
        Ok(self.state.lock().care_relations(|relation| relation.member == *member))
    }

    async fn directory_version(&self) -> Result<u64, Error> {
        Ok(self.state.lock().directory_version)
    }
}

#[async_trait]
impl AuditTrail for MemoryStore {
    async fn audit(&self, records: Vec<AuditRecord>) -> Result<(), Error> {
        self.state.lock().audit(records);
        Ok(())
    }

    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, Error> {
        Ok(self.state.lock().audit_after(seq, limit))
    }

    async fn access_log(&self, query: AccessLogQuery) -> Result<Vec<AuditEntry>, Error> {
        let state = self.state.lock();
        let wanted = |entry: &&AuditEntry| {
            let at = entry.record.by.at;
            entry.record.patient.as_ref() == Some(&query.patient)
                && query.from.is_none_or(|from| from <= at)
                && query.to.is_none_or(|to| at < to)
                && query.before.is_none_or(|before| entry.seq < before)
        };
        Ok(state.trail.iter().rev().filter(wanted).take(query.limit as usize).cloned().collect())
    }

    async fn audit_head(&self) -> Result<Option<(u64, Link)>, Error> {
        Ok(self.state.lock().trail.last().map(|last| (last.seq, last.link)))
    }

    async fn add_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Error> {
        self.state.lock().checkpoints.push(checkpoint);
        Ok(())
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        Ok(self.state.lock().checkpoints.last().cloned())
    }
}

#[async_trait]
impl Probe for MemoryStore {
    async fn check_writable(&self) -> Result<(), Error> {
        Ok(())
    }
}
