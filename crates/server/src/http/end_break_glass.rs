//! `DELETE /v1/patients/{id}/break-glass/{access}`: ends an emergency access.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use healthmate_care::{BreakGlass, Role, User};
use healthmate_protocol::{ErrorCode, MAX_PAGE};
use uuid::Uuid;

use super::Problem;
use super::break_glass::patient;
use super::caller::Caller;
use crate::app::App;

/// Ends an emergency access before its time, for who opened, the patient and administrators. Within a second it is over
/// on every connection.
#[utoipa::path(
    delete, path = "/v1/patients/{id}/break-glass/{access}", operation_id = "endBreakGlass", tag = "access",
    params(
        ("id" = String, Path, description = "The patient."),
        ("access" = String, Path, description = "The `id` of the access."),
    ),
    responses(
        (status = 204, description = "It is over."),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 404, description = "`not_found`: there is none of this id, or it is neither yours nor to your data."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: it goes on."),
    ),
    security(("token" = [])),
)]
pub(super) async fn end_break_glass(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path((id, access)) = path.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let patient = patient(Ok(Path(id)))?;
    let access = Uuid::parse_str(&access).map_err(|error| Problem::field("access", error.to_string()))?;
    let found = app.store.break_glasses_of(&patient, MAX_PAGE).await?;
    let mut held = found.into_iter().map(|opened| opened.access);
    let held = held.find(|held| held.id == access && may_end(caller.user(), held));
    let held = held.ok_or_else(|| Problem::new(ErrorCode::NotFound, "there is no such emergency access"))?;
    if app.store.end_break_glass(held.id, caller.by(&app)).await? {
        app.access_changed();
        tracing::info!(break_glass = %held.id, by = %caller.user().id, "an emergency access was ended");
    }
    Ok(StatusCode::NO_CONTENT)
}

fn may_end(user: &User, access: &BreakGlass) -> bool {
    user.role == Role::Admin || user.id == access.member || user.id == access.patient
}
