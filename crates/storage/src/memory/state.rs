//! What the in-memory store knows.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use healthmate_care::audit::{Checkpoint, FIRST_LINK, link};
use healthmate_care::{AuditEntry, AuditRecord, By, CareRelation, Metric, Role, User};
use healthmate_protocol::server::{MeasurementReceipt, RecordedMeasurement};
use healthmate_protocol::{ClientId, Epoch, Offset, Timestamp, Topic, UserId};

use serde_json::value::RawValue;

use super::break_glass::Accesses;
use super::credentials::Held;
use super::notifications::Told;
use crate::{
    CircleMember, Cursor, Error, Event, EventKind, Idempotency, LogRange, Manager, MeasurementPage,
    MeasurementQuery, RecordedAt, Recording, Series, event_payload,
};

pub(super) struct State {
    pub(super) epoch: Epoch,
    pub(super) users: BTreeMap<UserId, User>,
    pub(super) care: BTreeMap<(UserId, UserId), CareRelation>,
    /// When users were erased, and whether they were patients: their ids stay taken.
    pub(super) erased: BTreeMap<UserId, (Timestamp, bool)>,
    /// Counts the changes of `users` and `care`.
    pub(super) directory_version: u64,
    pub(super) logs: HashMap<Topic, Log>,
    pub(super) histories: HashMap<UserId, BTreeMap<(Timestamp, Offset), RecordedMeasurement>>,
    /// The receipt of a patient's measurement by its author and the author's name for it.
    pub(super) named: HashMap<(UserId, UserId, ClientId), MeasurementReceipt>,
    pub(super) answers: HashMap<(UserId, String), Answer>,
    pub(super) trail: Vec<AuditEntry>,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) credentials: Held,
    pub(super) told: Told,
    pub(super) accesses: Accesses,
}

#[derive(Default)]
pub(super) struct Log {
    head: u64,
    /// The newest `events.len()` of the topic's events.
    pub(super) events: VecDeque<Event>,
}

impl Log {
    fn range(&self) -> LogRange {
        LogRange { oldest: Offset(self.head - self.events.len() as u64 + 1), head: Offset(self.head) }
    }
}

/// The first answer to an idempotency key.
pub(super) struct Answer {
    digest: [u8; 32],
    receipts: Vec<MeasurementReceipt>,
    first_used: Timestamp,
}

impl State {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            users: BTreeMap::new(),
            care: BTreeMap::new(),
            erased: BTreeMap::new(),
            directory_version: 0,
            logs: HashMap::new(),
            histories: HashMap::new(),
            named: HashMap::new(),
            answers: HashMap::new(),
            trail: Vec::new(),
            checkpoints: Vec::new(),
            credentials: Held::default(),
            told: Told::default(),
            accesses: Accesses::default(),
        }
    }

    /// Appends an event of no series to its topic.
    pub(super) fn append(
        &mut self,
        topic: Topic,
        kind: EventKind,
        payload: Arc<RawValue>,
        recorded_at: Timestamp,
    ) -> Event {
        let log = self.logs.entry(topic.clone()).or_default();
        log.head += 1;
        let event = Event { topic, offset: Offset(log.head), kind, recorded_at, series: None, payload };
        log.events.push_back(event.clone());
        event
    }

    pub(super) fn range(&self, topic: &Topic) -> LogRange {
        self.logs.get(topic).map_or(LogRange { oldest: Offset(1), head: Offset::START }, Log::range)
    }

    pub(super) fn read_after(&self, topic: &Topic, after: Offset, limit: u32) -> Vec<Event> {
        let events = self.logs.get(topic).into_iter().flat_map(|log| &log.events);
        let events = events.filter(|event| event.offset > after).take(limit as usize);
        events.map(|event| Event { series: None, ..event.clone() }).collect()
    }

    pub(super) fn trim(&mut self, before: Timestamp, limit: u32) -> u64 {
        let mut forgotten = 0;
        for log in self.logs.values_mut() {
            while forgotten < u64::from(limit) && log.events.front().is_some_and(|e| e.recorded_at < before) {
                log.events.pop_front();
                forgotten += 1;
            }
        }
        forgotten
    }

    /// Everything that can refuse comes before the first change.
    pub(super) fn record(
        &mut self,
        recording: &Recording,
        now: Timestamp,
    ) -> Result<(Vec<MeasurementReceipt>, Vec<Event>), Error> {
        self.patient(&recording.patient)?;
        if !self.users.contains_key(&recording.author) {
            return Err(Error::NotFound("user"));
        }
        if let Some(first) = self.first_answer(&recording.author, recording.idempotency.as_ref())? {
            return Ok((first, Vec::new()));
        }
        let (receipts, events) = self.store(recording, now)?;
        if let Some(Idempotency { key, digest }) = recording.idempotency.clone() {
            let answer = Answer { digest, receipts: receipts.clone(), first_used: now };
            self.answers.insert((recording.author.clone(), key), answer);
        }
        self.audit(recording.audit.as_deref().cloned());
        Ok((receipts, events))
    }

    fn first_answer(
        &self,
        author: &UserId,
        idempotency: Option<&Idempotency>,
    ) -> Result<Option<Vec<MeasurementReceipt>>, Error> {
        let Some(Idempotency { key, digest }) = idempotency else {
            return Ok(None);
        };
        match self.answers.get(&(author.clone(), key.clone())) {
            Some(answer) if answer.digest == *digest => Ok(Some(answer.receipts.clone())),
            Some(_) => Err(Error::IdempotencyConflict),
            None => Ok(None),
        }
    }

    fn store(
        &mut self,
        recording: &Recording,
        now: Timestamp,
    ) -> Result<(Vec<MeasurementReceipt>, Vec<Event>), Error> {
        let Recording { patient, author, measurements, .. } = recording;
        let recorded_at = RecordedAt::new(now);
        let payloads = measurements.iter().map(|m| event_payload(patient, author, m, &recorded_at));
        let payloads = payloads.collect::<Result<Vec<_>, _>>()?;
        let topic = Topic::health(patient.clone());
        let log = self.logs.entry(topic.clone()).or_default();
        let history = self.histories.entry(patient.clone()).or_default();
        let (mut receipts, mut events) = (Vec::with_capacity(measurements.len()), Vec::new());
        for (measurement, payload) in measurements.iter().zip(payloads) {
            let name = measurement.client_id.clone().map(|id| (patient.clone(), author.clone(), id));
            if let Some(first) = name.as_ref().and_then(|name| self.named.get(name)) {
                receipts.push(MeasurementReceipt { duplicate: true, ..first.clone() });
                continue;
            }
            log.head += 1;
            let offset = Offset(log.head);
            let receipt = MeasurementReceipt {
                offset,
                client_id: measurement.client_id.clone(),
                duplicate: false,
                flags: measurement.flags(),
            };
            let data = measurement.to_data(patient, author, now);
            history.insert((measurement.taken_at, offset), RecordedMeasurement { offset, data });
            let kind = EventKind::HealthUpdate;
            log.events.push_back(Event {
                topic: topic.clone(),
                offset,
                kind,
                recorded_at: now,
                series: Some(Series { metric: measurement.metric, taken_at: measurement.taken_at }),
                payload,
            });
            events.extend(log.events.back().cloned());
            if let Some(name) = name {
                self.named.insert(name, receipt.clone());
            }
            receipts.push(receipt);
        }
        Ok((receipts, events))
    }

    pub(super) fn measurements(&self, query: &MeasurementQuery) -> MeasurementPage {
        let history = self.histories.get(&query.patient).into_iter().flatten().rev();
        let mut found = history
            .filter(|((taken_at, offset), recorded)| {
                query.from.is_none_or(|from| *taken_at >= from)
                    && query.to.is_none_or(|to| *taken_at < to)
                    && query.after.is_none_or(|after| (*taken_at, *offset) < (after.taken_at, after.offset))
                    && query.metric.is_none_or(|metric| recorded.data.metric == metric.as_str())
            })
            .map(|(_, recorded)| recorded.clone());
        let measurements: Vec<_> = found.by_ref().take(query.limit as usize).collect();
        let last =
            measurements.last().map(|last| Cursor { taken_at: last.data.taken_at, offset: last.offset });
        let next = found.next().and(last);
        MeasurementPage { measurements, next }
    }

    pub(super) fn newest(&self, patient: &UserId) -> Vec<RecordedMeasurement> {
        let Some(history) = self.histories.get(patient) else { return Vec::new() };
        let of =
            |metric: Metric| history.values().rev().find(|held| held.data.metric == metric.as_str()).cloned();
        Metric::ALL.into_iter().filter_map(of).collect()
    }

    pub(super) fn forget_idempotency_keys(&mut self, before: Timestamp, limit: u32) -> u64 {
        let old = self.answers.iter().filter(|(_, answer)| answer.first_used < before);
        let mut old: Vec<_> = old.map(|(key, answer)| (answer.first_used, key.clone())).collect();
        old.sort();
        old.truncate(limit as usize);
        for (_, key) in &old {
            self.answers.remove(key);
        }
        old.len() as u64
    }

    pub(super) fn patient(&self, id: &UserId) -> Result<(), Error> {
        match self.users.get(id) {
            Some(user) if user.role == Role::Patient => Ok(()),
            _ => Err(Error::NotFound("patient")),
        }
    }

    pub(super) fn add_user(&mut self, user: User, by: By) -> Result<(), Error> {
        if self.users.contains_key(&user.id) || self.erased.contains_key(&user.id) {
            return Err(Error::Exists("user"));
        }
        match (user.role, &user.device_of) {
            (Role::Device, Some(patient)) => self.patient(patient)?,
            (Role::Device, None) => return Err(Error::NotFound("patient")),
            (_, Some(_)) => return Err(Error::NotFound("device")),
            (_, None) => {}
        }
        self.audit([AuditRecord::user_added(by, &user)]);
        self.users.insert(user.id.clone(), user);
        self.directory_version += 1;
        Ok(())
    }

    pub(super) fn set_active(&mut self, id: &UserId, active: bool, by: By) -> Result<(), Error> {
        let user = self.users.get_mut(id).ok_or(Error::NotFound("user"))?;
        user.active = active;
        self.audit([AuditRecord::user_switched(by, id, active)]);
        self.directory_version += 1;
        Ok(())
    }

    pub(super) fn set_role(&mut self, id: &UserId, role: Role, by: By) -> Result<(), Error> {
        let user = self.users.get_mut(id).ok_or(Error::NotFound("user"))?;
        if let Some(stays) = [user.role, role].into_iter().find(|role| role.is_for_good()) {
            return Err(Error::RoleStays(stays));
        }
        user.role = role;
        self.audit([AuditRecord::role_changed(by, id, role)]);
        self.directory_version += 1;
        Ok(())
    }

    /// Goes on only if the manager is still active, with the role and the place that the change was decided by.
    pub(super) fn still_manages(&self, patient: &UserId, manager: &Manager) -> Result<(), Error> {
        let held = self.users.get(&manager.user).filter(|user| user.active).map(|user| user.role);
        let place = || self.care.get(&(patient.clone(), manager.user.clone()));
        let has_place = manager.place.is_none() || place() == manager.place.as_ref();
        (held == Some(manager.role) && has_place).then_some(()).ok_or(Error::Changed("manager"))
    }

    pub(super) fn add_care_relation(&mut self, relation: CareRelation, by: By) -> Result<(), Error> {
        self.patient(&relation.patient)?;
        let known = |id: &UserId| self.users.contains_key(id);
        if !known(&relation.member) || !relation.granted_by.as_ref().is_none_or(known) {
            return Err(Error::NotFound("user"));
        }
        self.audit([AuditRecord::access_granted(by, &relation)]);
        self.care.insert((relation.patient.clone(), relation.member.clone()), relation);
        self.directory_version += 1;
        Ok(())
    }

    pub(super) fn remove_care_relation(
        &mut self,
        patient: &UserId,
        member: &UserId,
        by: By,
    ) -> Result<(), Error> {
        let removed = self.care.remove(&(patient.clone(), member.clone()));
        removed.ok_or(Error::NotFound("care relation"))?;
        self.audit([AuditRecord::access_ended(by, patient, member)]);
        self.directory_version += 1;
        Ok(())
    }

    pub(super) fn audit(&mut self, records: impl IntoIterator<Item = AuditRecord>) {
        for record in records {
            let (seq, previous) = self.trail.last().map_or((1, FIRST_LINK), |last| (last.seq + 1, last.link));
            self.trail.push(AuditEntry { seq, link: link(&previous, seq, &record), record });
        }
    }

    pub(super) fn audit_after(&self, seq: u64, limit: u32) -> Vec<AuditEntry> {
        self.trail.iter().filter(|entry| entry.seq > seq).take(limit as usize).cloned().collect()
    }

    pub(super) fn circle(&self, patient: &UserId) -> Vec<CircleMember> {
        if self.patient(patient).is_err() {
            return Vec::new();
        }
        let members = self.users.values().filter_map(|user| {
            let relation = self.care.get(&(patient.clone(), user.id.clone())).cloned();
            let own = user.own_patient() == Some(patient);
            (own || relation.is_some()).then(|| CircleMember { user: user.clone(), relation })
        });
        members.collect()
    }

    /// By patient, then by member.
    pub(super) fn care_relations(&self, wanted: impl Fn(&CareRelation) -> bool) -> Vec<CareRelation> {
        self.care.values().filter(|relation| wanted(relation)).cloned().collect()
    }
}
