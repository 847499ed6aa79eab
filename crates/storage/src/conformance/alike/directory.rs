//! Steps that change users, care teams and emergency accesses.

use healthmate_care::{BreakGlass, CareRelation, Relationship, Role, Scopes, User};
use healthmate_protocol::UserId;

use super::super::Failed;
use super::super::sample::{by, id};
use super::{Taken, told};
use crate::{Manager, Opening};

impl Taken<'_> {
    pub(super) async fn directory(&mut self) -> Result<String, Failed> {
        Ok(match self.pick(8) {
            0 | 1 => self.add_user().await?,
            2 => told("active", self.store.set_active(&self.person()?, self.is_so(), self.by()).await),
            3 => {
                let (person, role) = (self.person()?, self.one(&Role::ALL));
                told("role", self.store.set_role(&person, role, self.by()).await)
            }
            4 | 5 => told("care", self.store.add_care_relation(self.relation()?, self.by()).await),
            6 => self.managed().await?,
            _ => {
                let (patient, member) = (self.person()?, self.person()?);
                told("end", self.store.remove_care_relation(&patient, &member, self.by()).await)
            }
        })
    }

    /// Emergency accesses.
    pub(super) async fn emergency(&mut self) -> Result<String, Failed> {
        Ok(match self.pick(4) {
            0 | 1 => self.open_patient().await?,
            2 => told("end", self.store.end_break_glass(self.name(), self.by()).await),
            _ => {
                let limit = u32::from(self.pick(4));
                told("ended", self.store.record_ended_break_glasses(self.now, limit).await)
            }
        })
    }

    async fn add_user(&mut self) -> Result<String, Failed> {
        let (id, role) = (self.person()?, self.one(&Role::ALL));
        let device_of = if role == Role::Device || self.pick(8) == 0 { Some(self.person()?) } else { None };
        let user = User { name: format!("the {role} {id}"), id, role, device_of, active: self.is_so() };
        Ok(told("user", self.store.add_user(user, self.by()).await))
    }

    /// One of two places that a member may have, so that it is easily the one that the member has.
    fn place(&mut self, patient: UserId, member: UserId) -> Result<CareRelation, Failed> {
        let place = CareRelation::new(patient, member, by().at);
        Ok(if self.is_so() {
            place
        } else {
            CareRelation {
                relation: Relationship::Family,
                scopes: Scopes::ALL,
                ends_at: Some(by().at.plus_millis(500)),
                granted_by: Some(id("q")?),
                ..place
            }
        })
    }

    fn relation(&mut self) -> Result<CareRelation, Failed> {
        let (patient, member) = (self.person()?, self.person()?);
        self.place(patient, member)
    }

    async fn managed(&mut self) -> Result<String, Failed> {
        let (relation, user, role) =
            (self.relation()?, self.person()?, self.one(&[Role::Patient, Role::Nurse]));
        let (patient, member) = (relation.patient.clone(), relation.member.clone());
        let place = self.place(patient.clone(), user.clone())?;
        let manager = Manager { user, role, place: if self.is_so() { Some(place) } else { None } };
        Ok(if self.is_so() {
            told("grant", self.store.grant_access(relation, manager, self.by()).await)
        } else {
            told("end", self.store.end_access(&patient, &member, manager, self.by()).await)
        })
    }

    async fn open_patient(&mut self) -> Result<String, Failed> {
        let (id, patient, member) = (self.name(), self.person()?, self.person()?);
        let (starts_at, ends_at) = (self.now, self.now.plus_millis(self.pick(90).into()));
        let notifications = if self.is_so() { vec![self.news()?] } else { Vec::new() };
        let opening = Opening {
            access: BreakGlass { id, patient, member, starts_at, ends_at },
            reason: format!("because {starts_at}"),
            notifications,
            at_once: 1 + u32::from(self.pick(2)),
            per_day: 1 + u32::from(self.pick(3)),
            day_began: starts_at.plus_millis(-100),
        };
        Ok(told("open", self.store.break_glass(opening, self.by()).await))
    }
}
