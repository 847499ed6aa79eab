//! Opening a patient in an emergency: who is told, in which words, and what is on record when it is over.

use std::sync::Arc;
use std::time::Duration;

use healthmate_care::{BreakGlass, Role, User};
use healthmate_protocol::{NotificationKind, Priority, UserId};
use healthmate_storage::{Error, NewNotification};

use crate::app::App;

/// How often ends are looked for that are not on record yet.
const RECORD_INTERVAL: Duration = Duration::from_secs(5);

/// How many ends one transaction puts on record.
const RECORD_STEP: u32 = 100;

/// Who reviews such accesses: those whom the settings name, or else every active administrator.
///
/// # Errors
/// If users cannot be read.
pub(crate) async fn officers(app: &App) -> Result<Vec<UserId>, Error> {
    let named = &app.settings.access.privacy_officers;
    if !named.is_empty() {
        return Ok(named.clone());
    }
    let users = app.store.users().await?;
    Ok(users.into_iter().filter(|user| user.active && user.role == Role::Admin).map(|user| user.id).collect())
}

/// The first of the privacy officers in the settings who is no user.
///
/// # Errors
/// If users cannot be read.
pub(crate) async fn unknown_officer(app: &App) -> Result<Option<UserId>, Error> {
    for id in &app.settings.access.privacy_officers {
        if app.store.user(id).await?.is_none() {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// What the patient and the officers are told, each once.
pub(crate) fn notices(
    app: &App,
    access: &BreakGlass,
    member: &User,
    reason: &str,
    officers: Vec<UserId>,
) -> Vec<NewNotification> {
    let (patient, until) = (&access.patient, access.ends_at);
    let who = format!("{} ({}, {})", member.name, member.id, member.role);
    let notice = |user: UserId, title: &str, what: String| NewNotification {
        id: app.clock.notification_id(),
        user,
        kind: NotificationKind::BreakGlass,
        priority: Priority::Urgent,
        title: title.to_owned(),
        body: format!("{who} opened {what} in an emergency, until {until}. Reason: {reason}"),
        patient: Some(patient.clone()),
        expires_at: None,
    };
    let to_patient = notice(patient.clone(), "Your data was opened in an emergency", "your data".to_owned());
    let mut told = vec![to_patient];
    for officer in officers {
        if told.iter().all(|notice| notice.user != officer) {
            let what = format!("the patient {patient}");
            told.push(notice(officer, "A patient was opened in an emergency", what));
        }
    }
    told
}

/// Puts on record that accesses have ended by themselves, each once: also those that ended while no server ran.
pub(crate) async fn record_ends(app: Arc<App>) {
    let mut turns = tokio::time::interval(RECORD_INTERVAL);
    loop {
        turns.tick().await;
        match app.store.record_ended_break_glasses(app.clock.now(), RECORD_STEP).await {
            Ok(ended) if ended.is_empty() => {}
            Ok(ended) => tracing::info!(ended = ended.len(), "emergency accesses have ended"),
            Err(error) => tracing::warn!(%error, "the end of emergency accesses could not be recorded"),
        }
    }
}
