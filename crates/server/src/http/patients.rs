//! `GET /v1/patients`: whose measurements the caller may read.

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
    let may_read = |patient: &UserId, relation: Option<&CareRelation>| {
        decide(user, Action::ReadMeasurements, patient, &Grants { relation, break_glass: None }, now)
            .is_allowed()
    };
    let mut ids: Vec<UserId> =
        user.own_patient().filter(|own| may_read(own, None)).cloned().into_iter().collect();
    for relation in app.store.patients_of(&user.id).await? {
        if may_read(&relation.patient, Some(&relation)) && !ids.contains(&relation.patient) {
            ids.push(relation.patient);
        }
    }
    ids.sort();
    let mut patients = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(patient) = app.store.user(&id).await?.filter(|user| user.role == Role::Patient) {
            patients.push(PatientSummary { id, name: patient.name });
        }
    }
    Ok(Json(PatientList { patients }))
}

#[cfg(test)]
mod tests;
