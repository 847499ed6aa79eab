//! `GET /v1/patients`: whose measurements the caller may read.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_care::{Action, CareRelation, Grants, Role, User, decide};
use healthmate_protocol::{Timestamp, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use super::caller::Caller;
use crate::app::App;

/// The patients whose measurements the caller may read, by id.
#[derive(Serialize, JsonSchema)]
pub(super) struct PatientList {
    patients: Vec<PatientSummary>,
}

/// A patient, as lists show one.
#[derive(Serialize, JsonSchema)]
pub(super) struct PatientSummary {
    /// The patient.
    id: UserId,
    /// What people call the patient.
    name: String,
    /// Whether the caller manages the patient's care team.
    manages: bool,
    /// The emergency access by which you may, where nothing else lets you.
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<EmergencyAccess>,
}

/// An emergency access that you hold.
#[derive(Clone, Serialize, JsonSchema)]
pub(super) struct EmergencyAccess {
    /// Names it.
    id: String,
    /// When it ends by itself.
    ends_at: Timestamp,
}

/// The patients whose measurements you may read: yourself, your device's patient, those in whose care team
/// you are, and those whom you opened in an emergency.
#[utoipa::path(
    get, path = "/v1/patients", operation_id = "listPatients", tag = "measurements",
    responses(
        (status = 200, description = "The patients, by id.", body = ref("#/components/schemas/PatientList"),
         content_type = "application/json"),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn patients(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<PatientList>, Problem> {
    let (user, now) = (caller.user(), app.clock.now());
    let may = |action, patient: &UserId, relation: Option<&CareRelation>| {
        decide(user, action, patient, &Grants { relation, break_glass: None }, now).is_allowed()
    };
    // By id, with whether the caller manages the care team.
    let mut found: BTreeMap<UserId, bool> = BTreeMap::new();
    let mut add = |patient: &UserId, relation: Option<&CareRelation>| {
        if may(Action::ReadMeasurements, patient, relation) {
            let manages = may(Action::ManageCareTeam, patient, relation);
            found.entry(patient.clone()).and_modify(|known| *known |= manages).or_insert(manages);
        }
    };
    user.own_patient().into_iter().for_each(|own| add(own, None));
    for relation in app.store.patients_of(&user.id).await? {
        add(&relation.patient, Some(&relation));
    }
    let opened = opened(&app, user, now).await?;
    let mut ids: Vec<(UserId, Option<bool>)> =
        found.into_iter().map(|(id, manages)| (id, Some(manages))).collect();
    let new = opened.keys().filter(|opened| !ids.iter().any(|(id, _)| id == *opened)).cloned();
    ids.extend(new.map(|id| (id, None)).collect::<Vec<_>>());
    ids.sort();
    let mut patients = Vec::with_capacity(ids.len());
    for (id, manages) in ids {
        if let Some(patient) = app.store.user(&id).await?.filter(|user| user.role == Role::Patient) {
            let break_glass = opened.get(&id).filter(|_| manages.is_none()).cloned();
            let (name, manages) = (patient.name, manages.unwrap_or_default());
            patients.push(PatientSummary { id, name, manages, break_glass });
        }
    }
    Ok(Json(PatientList { patients }))
}

/// The patients whom the user opened in an emergency, each with the access that ends last.
async fn opened(
    app: &App,
    user: &User,
    now: Timestamp,
) -> Result<BTreeMap<UserId, EmergencyAccess>, Problem> {
    let mut opened = BTreeMap::<UserId, EmergencyAccess>::new();
    for access in app.store.break_glasses_by(&user.id, now).await? {
        let grants = Grants { relation: None, break_glass: Some(&access) };
        let reads = decide(user, Action::ReadMeasurements, &access.patient, &grants, now).is_allowed();
        if reads && opened.get(&access.patient).is_none_or(|held| held.ends_at < access.ends_at) {
            let held = EmergencyAccess { id: access.id.to_string(), ends_at: access.ends_at };
            opened.insert(access.patient, held);
        }
    }
    Ok(opened)
}

#[cfg(test)]
mod tests;
