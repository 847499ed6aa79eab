//! `GET /v1/patients/{id}/break-glass`: who opened a patient in an emergency.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use healthmate_care::{Action, AuditAction, AuditRecord, Reason, Role, User};
use healthmate_protocol::{MAX_PAGE, Timestamp, UserId};
use healthmate_storage::OpenedPatient;
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use super::break_glass::patient;
use super::caller::Caller;
use crate::app::App;
use crate::break_glass::officers;

/// What the list is called in the trail.
const OBJECT: &str = "break_glass";

/// The emergency accesses to a patient, the newest first, 1000 at most.
#[derive(Serialize, JsonSchema)]
pub(super) struct BreakGlassList {
    accesses: Vec<BreakGlassEntry>,
}

/// An emergency access, which may be over.
#[derive(Serialize, JsonSchema)]
pub(super) struct BreakGlassEntry {
    /// Names it, as the audit trail does.
    id: String,
    /// Who opened.
    member: UserId,
    /// From when on.
    starts_at: Timestamp,
    /// When it ends, or ended.
    ends_at: Timestamp,
    /// Whether it holds.
    open: bool,
    /// Why, as the member wrote it.
    reason: String,
}

/// Who opened a patient in an emergency: all accesses for the patient and the privacy officers, one's own for others.
#[utoipa::path(
    get, path = "/v1/patients/{id}/break-glass", operation_id = "listBreakGlass", tag = "access",
    params(("id" = String, Path, description = "The patient.")),
    responses(
        (status = 200, description = "The accesses.", body = ref("#/components/schemas/BreakGlassList"),
         content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you are neither the patient, nor a privacy officer, nor someone \
                                      who may open patients."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn break_glasses(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<BreakGlassList>, Problem> {
    let (patient, user) = (patient(id)?, caller.user());
    let all = reviews(&app, user, &patient).await?;
    let record = match all {
        Some(reason) => {
            let record = AuditRecord::new(caller.by(&app), AuditAction::Read).object(OBJECT);
            record.patient(&patient).reason(reason)
        }
        None => caller.must_to_read(&app, Action::BreakGlass, OBJECT, &patient).await?,
    };
    let (found, now) = (app.store.break_glasses_of(&patient, MAX_PAGE).await?, app.clock.now());
    app.store.audit(vec![record]).await?;
    let shown = found.into_iter().filter(|opened| all.is_some() || opened.access.member == user.id);
    Ok(Json(BreakGlassList { accesses: shown.map(|opened| entry(opened, now)).collect() }))
}

/// Why the user sees every access to the patient, if so.
async fn reviews(app: &App, user: &User, patient: &UserId) -> Result<Option<&'static str>, Problem> {
    if user.role == Role::Patient && user.id == *patient {
        return Ok(Some(Reason::Own.as_str()));
    }
    Ok(officers(app).await?.contains(&user.id).then_some("privacy_officer"))
}

fn entry(opened: OpenedPatient, now: Timestamp) -> BreakGlassEntry {
    let OpenedPatient { access, reason } = opened;
    let open = access.holds_at(now);
    BreakGlassEntry {
        id: access.id.to_string(),
        member: access.member,
        starts_at: access.starts_at,
        ends_at: access.ends_at,
        open,
        reason,
    }
}
