//! `/v1/patients/{id}/care-team`: who is let in to a patient, to what, and for how long.

mod grant;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use healthmate_care::{Action, AuditOutcome, AuditRecord, CareRelation, Decision, Reason, Role, Scope, User};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::{CircleMember, Error, Manager};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::grant::Grant;
use super::caller::Caller;
use super::{Problem, json};
use crate::app::App;
use crate::auth::access;

/// A patient's care team, by member.
#[derive(Serialize, JsonSchema)]
pub(super) struct CareTeam {
    patient: UserId,
    members: Vec<CareTeamMember>,
}

/// A member of a care team.
#[derive(Serialize, JsonSchema)]
pub(super) struct CareTeamMember {
    /// The member.
    member: UserId,
    /// What people call the member.
    name: String,
    /// The member's role.
    role: &'static str,
    /// What the member is to the patient.
    #[schemars(schema_with = "grant::relation_words")]
    relation: &'static str,
    /// What the member is let in to.
    #[schemars(schema_with = "grant::scope_words")]
    scopes: Vec<&'static str>,
    /// From when on.
    starts_at: Timestamp,
    /// Until when, exclusive; absent where it is not known to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    /// Which user let the member in, or changed the access last; absent where it was no user.
    #[serde(skip_serializing_if = "Option::is_none")]
    granted_by: Option<UserId>,
    /// Whether it holds now.
    holds: bool,
}

impl CareTeamMember {
    fn new(user: &User, relation: CareRelation, now: Timestamp) -> Self {
        Self {
            member: user.id.clone(),
            name: user.name.clone(),
            role: user.role.as_str(),
            relation: relation.relation.as_str(),
            scopes: relation.scopes.iter().map(Scope::as_str).collect(),
            starts_at: relation.starts_at,
            ends_at: relation.ends_at,
            holds: relation.holds_at(now),
            granted_by: relation.granted_by,
        }
    }
}

/// A patient's care team, also those whose time there has not begun or is over. For the patient, members with the scope
/// `manage`, and administrators.
#[utoipa::path(
    get, path = "/v1/patients/{id}/care-team", operation_id = "getCareTeam", tag = "users",
    params(("id" = String, Path, description = "The patient.")),
    responses(
        (status = 200, description = "The care team, by member.", body = ref("#/components/schemas/CareTeam"),
         content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied` with its `reason`: you do not manage this care team."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn care_team(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<CareTeam>, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let patient = user_id("id", &id)?;
    let record = caller.must_to_read(&app, Action::ManageCareTeam, "care_team", &patient).await?;
    let (circle, now) = (app.store.circle(&patient).await?, app.clock.now());
    app.store.audit(vec![record]).await?;
    let members = circle
        .into_iter()
        .filter_map(|CircleMember { user, relation }| Some(CareTeamMember::new(&user, relation?, now)));
    let members = members.collect();
    Ok(Json(CareTeam { patient, members }))
}

/// Lets a member in, or changes everything about the member's access; what is left out gets its default. It takes effect
/// on open connections within a second. A member who manages grants no more, and for no longer, than they were given.
#[utoipa::path(
    put, path = "/v1/patients/{id}/care-team/{member}", operation_id = "grantAccess", tag = "users",
    params(
        ("id" = String, Path, description = "The patient."),
        ("member" = String, Path, description = "Who is let in: a user who is neither a device nor an administrator."),
    ),
    request_body(content = ref("#/components/schemas/Grant"), content_type = "application/json"),
    responses(
        (status = 200, description = "The member, as it is now.",
         body = ref("#/components/schemas/CareTeamMember"), content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`: a word, a time or the member."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you do not manage this care team, or you grant more than you hold."),
        (status = 404, description = "`not_found`: there is no such patient or user."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is no JSON."),
        (status = 503, description = "`storage_…`: nothing was changed; send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn grant(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CareTeamMember>, Problem> {
    let (patient, member) = between(path)?;
    let record = caller.must(&app, Action::ManageCareTeam, "care_team", &patient).await?;
    let body = json::body(&app, &headers, body)?;
    let now = app.clock.now();
    let wanted = json::parse::<Grant>(&body)?.accept(&patient, &member, now)?;
    let user = candidate(&app, &patient, &member).await?;
    let before = app.store.care_relation(&patient, &member).await?;
    let relation = CareRelation { granted_by: Some(caller.user().id.clone()), ..wanted };
    let relation = grant::going_on(relation, before.as_ref(), now);
    let manager = manager(&app, &caller, &patient).await?;
    if let Some(own) = &manager.place {
        grant::must_be_within(&relation, own)?;
    }
    let granted = app.store.grant_access(relation.clone(), manager, caller.by(&app)).await;
    unless_changed(&app, record, granted).await?;
    app.access_changed();
    Ok(Json(CareTeamMember::new(&user, relation, now)))
}

/// Takes a member out of a care team. It takes effect on open connections within a second.
#[utoipa::path(
    delete, path = "/v1/patients/{id}/care-team/{member}", operation_id = "endAccess", tag = "users",
    params(
        ("id" = String, Path, description = "The patient."),
        ("member" = String, Path, description = "Who is taken out."),
    ),
    responses(
        (status = 204, description = "The member is out."),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied` with its `reason`: you do not manage this care team."),
        (status = 404, description = "`not_found`: the user is not in this care team."),
        (status = 503, description = "`storage_…`: nothing was changed; send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn end(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (patient, member) = between(path)?;
    let record = caller.must(&app, Action::ManageCareTeam, "care_team", &patient).await?;
    let manager = manager(&app, &caller, &patient).await?;
    let ended = app.store.end_access(&patient, &member, manager, caller.by(&app)).await;
    unless_changed(&app, record, ended).await?;
    app.access_changed();
    Ok(StatusCode::NO_CONTENT)
}

fn between(path: Result<Path<(String, String)>, PathRejection>) -> Result<(UserId, UserId), Problem> {
    let Path((patient, member)) = path.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    Ok((user_id("id", &patient)?, user_id("member", &member)?))
}

fn user_id(field: &str, text: &str) -> Result<UserId, Problem> {
    UserId::new(text).map_err(|error| Problem::field(field, error.to_string()))
}

/// The user who is to be let in, if that can be.
async fn candidate(app: &App, patient: &UserId, member: &UserId) -> Result<User, Problem> {
    let of = app.store.user(patient).await?.filter(|user| user.role == Role::Patient);
    of.ok_or(Error::NotFound("patient"))?;
    if member == patient {
        return Err(Problem::field("member", "a patient's own access is not for the care team to change"));
    }
    let user = app.store.user(member).await?.ok_or(Error::NotFound("user"))?;
    match user.role {
        Role::Device => Err(Problem::field("member", "a device belongs to its patient and to no care team")),
        Role::Admin => Err(Problem::field("member", "administrators read no health data")),
        _ => Ok(user),
    }
}

/// By what the caller manages the care team: a place in it, except for the patient and for administrators.
async fn manager(app: &App, caller: &Caller, patient: &UserId) -> Result<Manager, Problem> {
    let user = caller.user();
    let place = match access::may(app, user, Action::ManageCareTeam, patient).await?.decision {
        Decision::Allowed { reason: Reason::CareTeam, .. } => {
            let own = app.store.care_relation(patient, &user.id).await?;
            Some(own.ok_or_else(|| Problem::denied(Reason::NotInCareTeam))?)
        }
        Decision::Allowed { .. } => None,
        Decision::Denied(reason) => return Err(Problem::denied(reason)),
    };
    Ok(Manager { user: user.id.clone(), role: user.role, place })
}

/// What the store made of a change. One whose manager could not make it any more is refused, on record.
async fn unless_changed(app: &App, record: AuditRecord, done: Result<(), Error>) -> Result<(), Problem> {
    match done {
        Err(Error::Changed(_)) => {
            app.record_refusal(record.reason("manager_changed").outcome(AuditOutcome::Denied)).await;
            let detail = "what lets you manage this care team was changed meanwhile: look at it again";
            Err(Problem::new(ErrorCode::AccessDenied, detail))
        }
        done => Ok(done?),
    }
}
