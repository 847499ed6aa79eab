//! `POST /v1/patients/{id}/break-glass`: opens a patient in an emergency.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use healthmate_care::{Action, BreakGlass};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::{Opened, Opening};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::{Problem, json};
use crate::app::App;
use crate::break_glass::{notices, officers};

/// How long a reason is, in characters.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 10..=500;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Why, and for how long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BreakGlassRequest {
    /// Why, in 10 to 500 characters. The patient and the privacy officers read it.
    reason: String,
    /// For how many minutes: `access.break_glass_minutes` if absent, at most `access.break_glass_max_minutes`.
    #[serde(default)]
    duration_minutes: Option<u32>,
}

/// An emergency access that holds.
#[derive(Serialize, JsonSchema)]
pub(super) struct BreakGlassAccess {
    /// Names it, as the audit trail does.
    id: String,
    /// Who was opened.
    patient: UserId,
    /// Who opened.
    member: UserId,
    /// From when on.
    starts_at: Timestamp,
    /// Until when: it ends by itself.
    ends_at: Timestamp,
    /// How many were told: the patient and the privacy officers.
    told: usize,
}

/// Opens a patient in an emergency, for doctors and nurses, without being in the care team, for a limited time. The
/// patient and the privacy officers are told at once, and everything that is done under it is marked in the audit trail.
#[utoipa::path(
    post, path = "/v1/patients/{id}/break-glass", operation_id = "breakGlass", tag = "access",
    params(("id" = String, Path, description = "The patient.")),
    request_body(content = ref("#/components/schemas/BreakGlassRequest"), content_type = "application/json"),
    responses(
        (status = 201, description = "It holds, and everybody concerned is told.",
         body = ref("#/components/schemas/BreakGlassAccess"), content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you are neither doctor nor nurse."),
        (status = 404, description = "`not_found`: there is no such patient."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 429, description = "`too_many_requests`: you hold as many such accesses as one may, or began as many \
                                      in 24 hours."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: nothing was opened, and nobody was told."),
    ),
    security(("token" = [])),
)]
pub(super) async fn break_glass(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<BreakGlassAccess>), Problem> {
    let patient = patient(id)?;
    let body = json::body(&app, &headers, body)?;
    caller.must(&app, Action::BreakGlass, "break_glass", &patient).await?;
    let BreakGlassRequest { reason, duration_minutes } = json::parse(&body)?;
    let (reason, minutes) = (checked_reason(&reason)?, checked_minutes(&app, duration_minutes)?);
    let by = caller.by(&app);
    let access = BreakGlass {
        id: app.clock.uuid(),
        patient,
        member: caller.user().id.clone(),
        starts_at: by.at,
        ends_at: by.at.plus_millis(i64::from(minutes) * MINUTE_MS),
    };
    let notifications = notices(&app, &access, caller.user(), reason, officers(&app).await?);
    let (told, settings) = (notifications.len(), &app.settings.access);
    let opening = Opening {
        access: access.clone(),
        reason: reason.to_owned(),
        notifications,
        at_once: settings.break_glass_at_once,
        per_day: settings.break_glass_per_day,
        day_began: by.at.plus_millis(-DAY_MS),
    };
    refuse(&app, app.store.break_glass(opening, by).await?)?;
    app.access_changed();
    app.metrics.break_glass_opened.inc();
    tracing::warn!(break_glass = %access.id, by = %access.member, "a patient was opened in an emergency");
    let BreakGlass { id, patient, member, starts_at, ends_at } = access;
    let id = id.to_string();
    Ok((StatusCode::CREATED, Json(BreakGlassAccess { id, patient, member, starts_at, ends_at, told })))
}

/// The patient of the path.
pub(super) fn patient(id: Result<Path<String>, PathRejection>) -> Result<UserId, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    UserId::new(&id).map_err(|error| Problem::field("id", error.to_string()))
}

fn checked_reason(reason: &str) -> Result<&str, Problem> {
    let reason = reason.trim();
    let length = reason.chars().count();
    if REASON_CHARS.contains(&length) {
        return Ok(reason);
    }
    let (least, most) = (REASON_CHARS.start(), REASON_CHARS.end());
    Err(Problem::field("reason", format!("must be {least} to {most} characters, and this is {length}")))
}

fn checked_minutes(app: &App, minutes: Option<u32>) -> Result<u32, Problem> {
    let settings = &app.settings.access;
    let (minutes, most) = (minutes.unwrap_or(settings.break_glass_minutes), settings.break_glass_max_minutes);
    if (1..=most).contains(&minutes) {
        return Ok(minutes);
    }
    Err(Problem::field("duration_minutes", format!("must be 1 to {most}, and this is {minutes}")))
}

fn refuse(app: &App, opened: Opened) -> Result<(), Problem> {
    let settings = &app.settings.access;
    let detail = match opened {
        Opened::Yes => return Ok(()),
        Opened::TooManyAtOnce => format!(
            "you hold {} emergency accesses already: end one that you no longer need",
            settings.break_glass_at_once
        ),
        Opened::TooManyADay => format!(
            "you opened patients {} times in the last 24 hours: ask a privacy officer",
            settings.break_glass_per_day
        ),
    };
    Err(Problem::new(ErrorCode::TooManyRequests, detail))
}

#[cfg(test)]
mod tests;
