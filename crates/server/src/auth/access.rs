//! Asks the policy, with what it needs to know from storage.

use std::time::Instant;

use healthmate_care::{Action, Decision, User, decide};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::Error;

use crate::app::App;

/// What the policy said.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Whether, and why.
    pub decision: Decision,
    /// When it ends, where that is known.
    pub until: Option<Timestamp>,
}

/// Whether `user` may do `action` with the data of `patient`, now. A patient who does not exist is answered like one
/// who is somebody else's.
///
/// # Errors
/// If the care team cannot be read.
pub async fn may(app: &App, user: &User, action: Action, patient: &UserId) -> Result<Access, Error> {
    let now = app.clock.now();
    // One's own data, the way of every device, costs no query.
    let alone = decide(user, action, patient, None, now);
    if alone.is_allowed() || action == Action::WriteMeasurements {
        return Ok(Access { decision: alone, until: None });
    }
    let relation = app.people.find_relation(&*app.store, patient, &user.id).await?;
    let decision = decide(user, action, patient, relation.as_ref(), now);
    Ok(Access { decision, until: relation.and_then(|relation| relation.ends_at) })
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
    let alone = decide(user, action, patient, None, now);
    if alone.is_allowed() {
        return Some(Access { decision: alone, until: None });
    }
    let relation = app.people.relation(patient, &user.id, instant)?;
    let decision = decide(user, action, patient, Some(&relation), now);
    decision.is_allowed().then_some(Access { decision, until: relation.ends_at })
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
