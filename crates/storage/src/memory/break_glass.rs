//! Patients who were opened in an emergency, in memory.

use async_trait::async_trait;
use healthmate_care::{AuditRecord, BreakGlass, By};
use healthmate_protocol::{Timestamp, UserId};
use uuid::Uuid;

use super::MemoryStore;
use super::state::State;
use crate::{BreakGlasses, Error, Event, Opened, OpenedPatient, Opening};

/// Accesses in the order in which they began.
pub(super) type Accesses = Vec<Held>;

/// An access, and whether its end is on record.
pub(super) struct Held {
    opened: OpenedPatient,
    end_recorded: bool,
}

impl Held {
    /// Whose data was opened.
    pub(super) fn patient(&self) -> &UserId {
        &self.opened.access.patient
    }
}

impl State {
    /// Everything that can refuse comes before the first change.
    fn open_patient(
        &mut self,
        opening: Opening,
        by: By,
        now: Timestamp,
    ) -> Result<(Opened, Vec<Event>), Error> {
        let Opening { access, reason, notifications, at_once, per_day, day_began } = opening;
        self.patient(&access.patient)?;
        if !self.users.contains_key(&access.member) {
            return Err(Error::NotFound("user"));
        }
        self.can_tell(&notifications)?;
        let own = self.accesses.iter().map(|held| &held.opened.access);
        let own = own.filter(|held| held.member == access.member);
        if own.clone().filter(|held| held.ends_at > access.starts_at).count() >= at_once as usize {
            return Ok((Opened::TooManyAtOnce, Vec::new()));
        }
        if own.filter(|held| held.starts_at >= day_began).count() >= per_day as usize {
            return Ok((Opened::TooManyADay, Vec::new()));
        }
        if self.accesses(|held| held.id == access.id).next().is_some() {
            return Err(Error::Exists("break-glass access"));
        }
        let events = self.tell(notifications, now)?;
        self.audit([AuditRecord::break_glass_started(by, &access)]);
        self.accesses.push(Held { opened: OpenedPatient { access, reason }, end_recorded: false });
        self.directory_version += 1;
        Ok((Opened::Yes, events))
    }

    fn end_access(&mut self, id: Uuid, by: By) -> Result<bool, Error> {
        let held = self.accesses.iter_mut().find(|held| held.opened.access.id == id);
        let held = held.ok_or(Error::NotFound("break-glass access"))?;
        if held.opened.access.ends_at <= by.at {
            return Ok(false);
        }
        held.opened.access.ends_at = by.at.max(held.opened.access.starts_at);
        held.end_recorded = true;
        let record = AuditRecord::break_glass_ended(by, &held.opened.access);
        self.audit([record]);
        self.directory_version += 1;
        Ok(true)
    }

    fn record_ended(&mut self, now: Timestamp, limit: u32) -> Vec<BreakGlass> {
        let over = |held: &Held| !held.end_recorded && held.opened.access.ends_at <= now;
        let mut ended: Vec<_> = self.accesses.iter_mut().filter(|held| over(held)).collect();
        ended.sort_by_key(|held| (held.opened.access.ends_at, held.opened.access.id));
        ended.truncate(limit as usize);
        let mut accesses = Vec::with_capacity(ended.len());
        for held in ended {
            held.end_recorded = true;
            accesses.push(held.opened.access.clone());
        }
        let by = By::server(now);
        self.audit(accesses.iter().map(|access| AuditRecord::break_glass_ended(by.clone(), access)));
        accesses
    }

    fn accesses(&self, wanted: impl Fn(&BreakGlass) -> bool) -> impl Iterator<Item = &OpenedPatient> {
        self.accesses.iter().map(|held| &held.opened).filter(move |opened| wanted(&opened.access))
    }
}

#[async_trait]
impl BreakGlasses for MemoryStore {
    async fn break_glass(&self, opening: Opening, by: By) -> Result<Opened, Error> {
        self.commit(|state, now| state.open_patient(opening, by, now))
    }

    async fn end_break_glass(&self, id: Uuid, by: By) -> Result<bool, Error> {
        self.state.lock().end_access(id, by)
    }

    async fn break_glasses_of(&self, patient: &UserId, limit: u32) -> Result<Vec<OpenedPatient>, Error> {
        let state = self.state.lock();
        let mut of: Vec<_> = state.accesses(|access| access.patient == *patient).cloned().collect();
        of.sort_by_key(|opened| std::cmp::Reverse((opened.access.starts_at, opened.access.id)));
        of.truncate(limit as usize);
        Ok(of)
    }

    async fn break_glass_between(
        &self,
        patient: &UserId,
        member: &UserId,
    ) -> Result<Option<BreakGlass>, Error> {
        let state = self.state.lock();
        let between = state.accesses(|access| access.patient == *patient && access.member == *member);
        Ok(between.map(|opened| opened.access.clone()).max_by_key(|access| (access.ends_at, access.id)))
    }

    async fn break_glasses_by(&self, member: &UserId, now: Timestamp) -> Result<Vec<BreakGlass>, Error> {
        let state = self.state.lock();
        let by = state.accesses(|access| access.member == *member && access.ends_at > now);
        let mut by: Vec<_> = by.map(|opened| opened.access.clone()).collect();
        by.sort_by(|one, other| (&one.patient, one.id).cmp(&(&other.patient, other.id)));
        Ok(by)
    }

    async fn record_ended_break_glasses(&self, now: Timestamp, limit: u32) -> Result<Vec<BreakGlass>, Error> {
        Ok(self.state.lock().record_ended(now, limit))
    }
}
