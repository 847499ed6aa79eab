//! `GET /v1/patients`: whose measurements the caller may read.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_care::{Action, CareRelation, Grants, Role, decide};
use healthmate_protocol::UserId;
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
}

/// The patients whose measurements you may read: yourself, your device's patient, those in whose care team you are.
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
    let mut patients = Vec::with_capacity(found.len());
    for (id, manages) in found {
        if let Some(patient) = app.store.user(&id).await?.filter(|user| user.role == Role::Patient) {
            patients.push(PatientSummary { id, name: patient.name, manages });
        }
    }
    Ok(Json(PatientList { patients }))
}

#[cfg(test)]
mod tests;
