//! Asks the policy, with what it needs to know from storage.

use healthmate_care::{Action, Decision, User, decide};
use healthmate_protocol::UserId;
use healthmate_storage::Error;

use crate::app::App;

/// Whether `user` may do `action` with the data of `patient`, now. A patient who does not exist is answered like one
/// who is somebody else's.
///
/// # Errors
/// If the care team cannot be read.
pub async fn may(app: &App, user: &User, action: Action, patient: &UserId) -> Result<Decision, Error> {
    let now = app.clock.now();
    // One's own data, the way of every device, costs no query.
    let alone = decide(user, action, patient, None, now);
    if alone.is_allowed() || action == Action::WriteMeasurements {
        return Ok(alone);
    }
    let relation = app.store.care_relation(patient, &user.id).await?;
    Ok(decide(user, action, patient, relation.as_ref(), now))
}
