//! `GET /v1/patients/{id}/access-log`: who saw a patient's data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use healthmate_care::{Action, AuditEntry};
use healthmate_protocol::{ErrorCode, MAX_PAGE, Timestamp, UserId};
use healthmate_storage::AccessLogQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::caller::Caller;
use crate::app::App;

/// How many records a page holds if the request does not say.
const DEFAULT_LIMIT: u32 = 50;

/// The parameters as text, so that each refusal can name its own.
#[derive(Deserialize)]
pub(super) struct Parameters {
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Who saw a patient's data, and who was refused, the newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct AccessLog {
    /// The page.
    accesses: Vec<Access>,
    /// What people call the users of the page today, by id; without those who were erased.
    names: BTreeMap<UserId, String>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One record of the audit trail.
#[derive(Serialize, JsonSchema)]
pub(super) struct Access {
    /// When.
    at: Timestamp,
    /// Who: `user`, `anonymous`, `server` or `command_line`.
    actor: String,
    /// Which user; absent where it was no user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    /// In which role, at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// From which address: of what the caller did.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// What was done, as docs/audit.md lists it.
    action: String,
    /// To what.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// Why it was allowed or refused; of a grant, to what and for when.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The emergency access under which it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<String>,
    /// `success`, `denied` or `failed`.
    outcome: String,
}

/// Who saw a patient's data, from the audit trail: for the patient, members who manage the care team, and administrators.
#[utoipa::path(
    get, path = "/v1/patients/{id}/access-log", operation_id = "getAccessLog", tag = "access",
    params(
        ("id" = String, Path, description = "The patient."),
        ("from" = Option<String>, Query, description = "Only what was done at or after this time (RFC 3339)."),
        ("to" = Option<String>, Query, description = "Only what was done before this time (RFC 3339)."),
        ("limit" = Option<u32>, Query, description = "How many at most.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before, unchanged."),
    ),
    responses(
        (status = 200, description = "The page. Without `next_cursor` it is the last one.",
         body = ref("#/components/schemas/AccessLog"), content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you are neither the patient, nor a member who manages, nor an administrator."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn access_log(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<AccessLog>, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let patient = UserId::new(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    let Query(parameters) = parameters.map_err(|_| {
        Problem::new(ErrorCode::InvalidField, "the query cannot be read: is a parameter given twice?")
    })?;
    let record = caller.must(&app, Action::SeeAccessLog, "access_log", &patient).await?;
    let query = query(patient, &parameters)?;
    let limit = query.limit as usize;
    let entries = app.store.access_log(query).await?;
    app.store.audit(vec![record]).await?;
    // A full page may have another behind it.
    let next = entries.last().filter(|_| entries.len() == limit).map(|last| last.seq.to_string());
    let names = names(&app, &entries).await?;
    let accesses = entries.into_iter().map(|entry| shown(entry, &caller.user().id)).collect();
    Ok(Json(AccessLog { accesses, names, next_cursor: next }))
}

/// The names of those who acted, and of those whom it was done to.
async fn names(app: &App, entries: &[AuditEntry]) -> Result<BTreeMap<UserId, String>, Problem> {
    let acted = entries.iter().filter_map(|entry| entry.record.by.actor.user().cloned());
    let objects = entries.iter().filter_map(|entry| entry.record.object.as_deref()?.strip_prefix("user:"));
    let users: BTreeSet<UserId> = acted.chain(objects.filter_map(|id| UserId::new(id).ok())).collect();
    let mut names = BTreeMap::new();
    for id in users {
        if let Some(user) = app.store.user(&id).await? {
            names.insert(id, user.name);
        }
    }
    Ok(names)
}

fn query(patient: UserId, parameters: &Parameters) -> Result<AccessLogQuery, Problem> {
    let limit = match parameters.limit.as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => return Err(Problem::field("limit", format!("must be 1 to {MAX_PAGE}"))),
    };
    let before = parameters.cursor.as_deref().map(str::parse).transpose();
    let before = before.map_err(|_| Problem::field("cursor", "is not the next_cursor of a page"))?;
    let (from, to) = (time("from", parameters.from.as_ref())?, time("to", parameters.to.as_ref())?);
    Ok(AccessLogQuery { patient, from, to, before, limit })
}

fn time(name: &str, text: Option<&String>) -> Result<Option<Timestamp>, Problem> {
    let parsed = text.map(|text| text.parse::<Timestamp>()).transpose();
    parsed.map_err(|error| Problem::field(name, error.to_string()))
}

/// An address says where somebody was: it is shown to that one only.
fn shown(AuditEntry { record, .. }: AuditEntry, caller: &UserId) -> Access {
    let by = record.by;
    let own = by.actor.user() == Some(caller);
    Access {
        at: by.at,
        actor: by.actor.kind().to_owned(),
        user: by.actor.user().cloned(),
        role: by.actor.role().map(|role| role.as_str().to_owned()),
        address: by.address.filter(|_| own).map(|address| address.to_string()),
        action: record.action.as_str().to_owned(),
        object: record.object,
        reason: record.reason.map(Into::into),
        break_glass: by.break_glass.map(|id| id.to_string()),
        outcome: record.outcome.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests;
