//! Asks the policy, with what it needs to know from storage.

use std::sync::Arc;
use std::time::Instant;

use healthmate_care::access::Until;
use healthmate_care::{
    Action, AuditAction, AuditRecord, BreakGlass, By, CareRelation, Decision, Grants, Reason, Role, User,
    decide,
};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::Error;
use uuid::Uuid;

use crate::app::App;

/// What the policy said.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Whether, why, and until when.
    pub decision: Decision,
    /// The break-glass access that opened the patient, where one did.
    pub break_glass: Option<Uuid>,
    /// The one under which it goes on when the place in the care team has ended, where there is one.
    goes_on_under: Option<Uuid>,
}

impl Access {
    /// When it ends by itself, where that is known.
    pub fn until(&self) -> Option<Until> {
        self.decision.until()
    }

    /// The break-glass access that carries it, now or until its end: under that, a subscription is heard.
    pub(crate) fn emergency(&self) -> Option<Uuid> {
        self.break_glass.or(self.goes_on_under)
    }

    /// The record of it: that `by` did `action` with `object` of the patient's data, or was refused.
    pub(crate) fn record(
        &self,
        by: By,
        action: AuditAction,
        object: impl Into<String>,
        patient: &UserId,
    ) -> AuditRecord {
        // A page is read now, and a subscription goes on.
        let break_glass = if action == AuditAction::Subscribe { self.emergency() } else { self.break_glass };
        let by = By { break_glass, ..by };
        AuditRecord::decided(by, action, object.into(), patient, self.decision)
    }
}

/// What a user was given with a patient, as it was found.
#[derive(Clone, Debug, Default)]
struct Given {
    relation: Option<Arc<CareRelation>>,
    break_glass: Option<Arc<BreakGlass>>,
}

impl Given {
    /// From the store.
    async fn find(app: &App, user: &User, patient: &UserId) -> Result<Self, Error> {
        let relation = app.people.find_relation(&*app.store, patient, &user.id).await?;
        let break_glass = if may_need_break_glass(user, relation.as_deref(), app.clock.now()) {
            app.people.find_break_glass(&*app.store, patient, &user.id).await?
        } else {
            None
        };
        Ok(Self { relation, break_glass })
    }

    /// What is known at `instant`, without a question to the store.
    fn known(app: &App, user: &User, patient: &UserId, instant: Instant) -> Self {
        let relation = app.people.relation(patient, &user.id, instant);
        Self { relation, break_glass: app.people.break_glass(patient, &user.id, instant) }
    }

    fn decide(&self, user: &User, action: Action, patient: &UserId, now: Timestamp) -> Access {
        let grants = Grants { relation: self.relation.as_deref(), break_glass: self.break_glass.as_deref() };
        let decision = decide(user, action, patient, &grants, now);
        let opened = decision.is_allowed() && decision.reason() == Reason::BreakGlass;
        let goes_on = decision.until().is_some_and(|until| until.then == Reason::BreakGlassOver);
        let id_where = |so: bool| self.break_glass.as_ref().filter(|_| so).map(|access| access.id);
        Access { decision, break_glass: id_where(opened), goes_on_under: id_where(goes_on) }
    }
}

/// Whether a break-glass access could give the user what the place in the care team does not: it is looked for then only,
/// so that whoever has such a place is let in without another question to the store.
fn may_need_break_glass(user: &User, relation: Option<&CareRelation>, now: Timestamp) -> bool {
    let enough = |relation: &CareRelation| {
        let holds = relation.starts_at <= now && relation.ends_at.is_none();
        holds && BreakGlass::scopes().is_within(relation.scopes)
    };
    matches!(user.role, Role::Doctor | Role::Nurse) && !relation.is_some_and(enough)
}

/// What is decided by who the user is: `None` where it takes a look at what the user was given.
fn alone(user: &User, action: Action, patient: &UserId, now: Timestamp) -> Option<Access> {
    let access = Given::default().decide(user, action, patient, now);
    (access.decision != Decision::Denied(Reason::NotInCareTeam)).then_some(access)
}

/// Whether `user` may do `action` with the data of `patient`, now. A patient who does not exist is answered like one
/// who is somebody else's.
///
/// # Errors
/// If the care team cannot be read.
pub async fn may(app: &App, user: &User, action: Action, patient: &UserId) -> Result<Access, Error> {
    // One's own data, the way of every device, costs no query.
    if let Some(access) = alone(user, action, patient, app.clock.now()) {
        return Ok(access);
    }
    let given = Given::find(app, user, patient).await?;
    Ok(given.decide(user, action, patient, app.clock.now()))
}

/// Says that `user` may do `action` with the data of `patient`, if that is so by what is known at `instant`. What would
/// be refused by it is for [`may`] to decide.
pub(crate) fn known(
    app: &App,
    user: &User,
    action: Action,
    patient: &UserId,
    instant: Instant,
) -> Option<Access> {
    let now = app.clock.now();
    let access = alone(user, action, patient, now)
        .unwrap_or_else(|| Given::known(app, user, patient, instant).decide(user, action, patient, now));
    Some(access).filter(|access| access.decision.is_allowed())
}

#[cfg(test)]
mod tests {
    use healthmate_care::Role;

    use super::*;
    use crate::http::tests::{Failing, World};

    #[tokio::test]
    async fn own_data_is_decided_without_a_look_at_the_care_team() {
        let world = World::failing(Failing::Reading).await;
        let id = |text: &str| UserId::new(text).expect("valid");
        let user = |role, of: Option<&str>| User {
            id: id("u"),
            role,
            name: "U".to_owned(),
            device_of: of.map(id),
            active: true,
        };
        let device = user(Role::Device, Some("p"));
        let nurse = user(Role::Nurse, None);
        let may = async |user: &User, action| {
            may(&world.app, user, action, &id("p")).await.map(|access| access.decision.is_allowed())
        };
        assert_eq!(may(&device, Action::WriteMeasurements).await, Ok(true));
        assert_eq!(may(&device, Action::ReadMeasurements).await, Ok(true));
        assert_eq!(may(&nurse, Action::WriteMeasurements).await, Ok(false));
        assert!(may(&nurse, Action::ReadMeasurements).await.is_err(), "an unread care team lets nobody in");
    }
}
