//! Users and care relations in memory: whoever was let in lately is let in again without a question to the store.
//!
//! Only what opens a door is kept: active users, and relations that hold. Whoever is not here, or is no longer let in by
//! what is here, is asked for in the store, so that someone who was just added gets in at once. Who was just removed is
//! refused within a second: what is here counts only for as long after the last look at the directory's version, and
//! is forgotten when that has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use healthmate_care::{BreakGlass, CareRelation, User};
use healthmate_protocol::UserId;
use healthmate_storage::{BreakGlasses, Directory, Error};
use parking_lot::Mutex;

use crate::recent::Recent;

/// How many users, and how many relations, are kept: half of them at least the ones used last.
const HALF: usize = 4096;

/// For how long a look at the directory's version is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The users and care relations used lately.
#[derive(Debug)]
pub(crate) struct People(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Grows with each change that was seen: what began to be read before it is not kept.
    change: u64,
    /// When it was last seen that nothing has changed; `None` before the first look.
    looked_at: Option<Instant>,
    users: Recent<UserId, Arc<User>>,
    /// By patient and member.
    relations: Recent<(UserId, UserId), Arc<CareRelation>>,
    /// By patient and member: the access that ends last. Few are here, for nearly nobody has one.
    accesses: Recent<(UserId, UserId), Arc<BreakGlass>>,
}

impl People {
    /// Nobody is known, and nobody becomes known before [`People::changed`].
    pub(crate) fn new() -> Self {
        let (users, relations, accesses) = (Recent::new(HALF), Recent::new(HALF), Recent::new(HALF));
        Self(Mutex::new(State { change: 0, looked_at: None, users, relations, accesses }))
    }

    /// The directory has changed, or it is not known what happened to it: found out by a look that began at `looked_at`.
    /// To be called before anybody is told to decide again.
    pub(crate) fn changed(&self, looked_at: Instant) {
        let mut state = self.0.lock();
        state.change += 1;
        state.looked_at = Some(looked_at);
        state.users.clear();
        state.relations.clear();
        state.accesses.clear();
    }

    /// The directory had not changed by a look that began at `looked_at`.
    pub(crate) fn unchanged(&self, looked_at: Instant) {
        self.0.lock().looked_at = Some(looked_at);
    }

    /// The active user with this id, if known at `now`.
    pub(crate) fn user(&self, id: &UserId, now: Instant) -> Option<Arc<User>> {
        let mut state = self.0.lock();
        if state.is_good(now) { state.users.get(id).cloned() } else { None }
    }

    /// The user with this id, from the store if not known at `now`.
    pub(crate) async fn find_user(
        &self,
        store: &(impl Directory + ?Sized),
        id: &UserId,
        now: Instant,
    ) -> Result<Option<Arc<User>>, Error> {
        if let Some(user) = self.user(id, now) {
            return Ok(Some(user));
        }
        let change = self.change();
        let user = store.user(id).await?.map(Arc::new);
        if let Some(user) = user.as_ref().filter(|user| user.active) {
            self.keep_user(change, user);
        }
        Ok(user)
    }

    /// The member's place in the patient's care team, if known at `now`.
    pub(crate) fn relation(
        &self,
        patient: &UserId,
        member: &UserId,
        now: Instant,
    ) -> Option<Arc<CareRelation>> {
        let mut state = self.0.lock();
        if !state.is_good(now) {
            return None;
        }
        state.relations.get(&(patient.clone(), member.clone())).cloned()
    }

    /// The member's place in the patient's care team, from the store.
    pub(crate) async fn find_relation(
        &self,
        store: &(impl Directory + ?Sized),
        patient: &UserId,
        member: &UserId,
    ) -> Result<Option<Arc<CareRelation>>, Error> {
        let change = self.change();
        let Some(found) = store.care_relation(patient, member).await? else { return Ok(None) };
        // With the asker's ids, which the connection keeps anyway.
        let (patient, member) = (patient.clone(), member.clone());
        let relation = Arc::new(CareRelation { patient, member, ..found });
        self.keep_relation(change, &relation);
        Ok(Some(relation))
    }

    /// The member's break-glass access to the patient that ends last, if known at `now`.
    pub(crate) fn break_glass(
        &self,
        patient: &UserId,
        member: &UserId,
        now: Instant,
    ) -> Option<Arc<BreakGlass>> {
        let mut state = self.0.lock();
        if state.accesses.is_empty() || !state.is_good(now) {
            return None;
        }
        state.accesses.get(&(patient.clone(), member.clone())).cloned()
    }

    /// The member's break-glass access to the patient that ends last, from the store.
    pub(crate) async fn find_break_glass(
        &self,
        store: &(impl BreakGlasses + ?Sized),
        patient: &UserId,
        member: &UserId,
    ) -> Result<Option<Arc<BreakGlass>>, Error> {
        let change = self.change();
        let found = store.break_glass_between(patient, member).await?.map(Arc::new);
        let mut state = self.0.lock();
        if let Some(access) = found.as_ref().filter(|_| state.change == change) {
            state.accesses.insert((patient.clone(), member.clone()), Arc::clone(access));
        }
        Ok(found)
    }

    /// How many changes were seen: to be asked before what is to be kept is read.
    fn change(&self) -> u64 {
        self.0.lock().change
    }

    fn keep_user(&self, change: u64, user: &Arc<User>) {
        let mut state = self.0.lock();
        if state.change == change {
            state.users.insert(user.id.clone(), Arc::clone(user));
        }
    }

    fn keep_relation(&self, change: u64, relation: &Arc<CareRelation>) {
        let mut state = self.0.lock();
        if state.change == change {
            let between = (relation.patient.clone(), relation.member.clone());
            state.relations.insert(between, Arc::clone(relation));
        }
    }
}

impl State {
    fn is_good(&self, now: Instant) -> bool {
        self.looked_at.is_some_and(|looked_at| now.saturating_duration_since(looked_at) < GOOD_FOR)
    }
}

#[cfg(test)]
mod tests;
