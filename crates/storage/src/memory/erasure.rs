//! Erasing a patient in memory.

use async_trait::async_trait;
use healthmate_care::{AuditAction, AuditRecord, By, Role};
use healthmate_protocol::{Topic, TopicKind, UserId};

use super::MemoryStore;
use super::state::State;
use crate::payload::{notification_payload, without_patient};
use crate::{Erased, Erasure, Error};

#[async_trait]
impl Erasure for MemoryStore {
    async fn erase(&self, patient: &UserId, by: By) -> Result<Erased, Error> {
        self.state.lock().erase(patient, by)
    }
}

impl State {
    fn erase(&mut self, patient: &UserId, by: By) -> Result<Erased, Error> {
        if let Some((at, true)) = self.erased.get(patient) {
            let (at, audit_kept) = (*at, self.audited(patient));
            return Ok(Erased { at, before: true, rows: Vec::new(), audit_kept });
        }
        self.patient(patient)?;
        let own = |user: &healthmate_care::User| user.own_patient() == Some(patient);
        let persons: Vec<UserId> =
            self.users.values().filter(|user| own(user)).map(|user| user.id.clone()).collect();
        let mut rows =
            vec![("measurement", self.histories.remove(patient).map_or(0, |history| history.len() as u64))];
        let told = persons.iter().map(|person| Topic::new(TopicKind::Notifications, person.clone()));
        let events = told.chain([Topic::health(patient.clone())]).map(|topic| {
            let log = self.logs.get_mut(&topic);
            log.map_or(0, |log| std::mem::take(&mut log.events).len() as u64)
        });
        rows.push(("event", events.sum()));
        rows.push(("notification", self.retell(patient, &persons)));
        let accesses = self.accesses.len();
        self.accesses.retain(|held| held.patient() != patient);
        rows.push(("break_glass", (accesses - self.accesses.len()) as u64));
        self.named.retain(|(of, _, _), _| of != patient);
        let (answers, relations) = (self.answers.len(), self.care.len());
        self.answers.retain(|(author, _), _| !persons.contains(author));
        self.care.retain(|(of, member), _| of != patient && !persons.contains(member));
        rows.push(("idempotency", (answers - self.answers.len()) as u64));
        rows.push(("care_relation", (relations - self.care.len()) as u64));
        rows.extend(self.credentials.erase(&persons));
        for person in &persons {
            let was_patient = self.users.remove(person).is_some_and(|user| user.role == Role::Patient);
            self.erased.insert(person.clone(), (by.at, was_patient));
        }
        rows.push(("user", persons.len() as u64));
        rows.retain(|(_, count)| *count > 0);
        self.directory_version += 1;
        let counts: Vec<String> = rows.iter().map(|(what, count)| format!("{what}:{count}")).collect();
        let at = by.at;
        let record = AuditRecord::new(by, AuditAction::Erased).patient(patient);
        self.audit([record.object(counts.join(" "))]);
        Ok(Erased { at, before: false, rows, audit_kept: self.audited(patient) })
    }

    /// What the patient and the patient's devices were told goes; others keep that they were told something.
    fn retell(&mut self, patient: &UserId, persons: &[UserId]) -> u64 {
        let before = self.told.len();
        self.told.retain(|(user, _), _| !persons.contains(user));
        let mut rows = before - self.told.len();
        for ((user, offset), told) in &mut self.told {
            if told.data.patient.as_ref() != Some(patient) {
                continue;
            }
            rows += 1;
            told.data = without_patient(told.data.clone());
            let log = self.logs.get_mut(&Topic::new(TopicKind::Notifications, user.clone()));
            let event = log.and_then(|log| log.events.iter_mut().find(|event| event.offset == *offset));
            if let (Some(event), Ok(payload)) = (event, notification_payload(&told.data)) {
                event.payload = payload;
            }
        }
        rows as u64
    }

    fn audited(&self, patient: &UserId) -> u64 {
        self.trail.iter().filter(|entry| entry.record.patient.as_ref() == Some(patient)).count() as u64
    }
}
