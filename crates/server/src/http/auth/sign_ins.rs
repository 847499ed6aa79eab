//! `/v1/auth/sign-ins`: where the caller is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use healthmate_protocol::{ErrorCode, Timestamp};
use healthmate_storage::{SignIn, SignInEnd, SignIns};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{DAY_MS, access_until, note_ended};
use crate::app::App;
use crate::http::Problem;
use crate::http::caller::Caller;

/// Where the caller is signed in, the newest first.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct SignInList {
    sign_ins: Vec<SignInSummary>,
}

/// One sign-in.
#[derive(Serialize, JsonSchema)]
struct SignInSummary {
    /// Names it.
    id: String,
    /// `password` or `passkey`.
    method: &'static str,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The address it began from.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// When it began.
    created_at: Timestamp,
    /// When its refresh token was used last.
    last_used_at: Timestamp,
    /// When it ends at the latest.
    expires_at: Timestamp,
    /// Whether the request came with a token of this one.
    current: bool,
}

/// Where you are signed in.
#[utoipa::path(
    get, path = "/v1/auth/sign-ins", operation_id = "listSignIns", tag = "sign-in",
    responses(
        (status = 200, description = "The sign-ins, the newest first.", body = ref("#/components/schemas/SignInList"),
         content_type = "application/json"),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: an API token cannot see credentials."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn sign_ins(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<SignInList>, Problem> {
    caller.must_be_whole()?;
    let now = app.clock.now();
    let idle_since = now.plus_millis(-i64::from(app.settings.sign_in.idle_days) * DAY_MS);
    let current = caller.credential().sign_in();
    let sign_ins = app.store.sign_ins(&caller.user().id).await?.into_iter();
    let live = sign_ins.filter(|sign_in| sign_in.expires_at > now && sign_in.last_used_at >= idle_since);
    let sign_ins = live.map(|sign_in: SignIn| SignInSummary {
        id: sign_in.id.to_string(),
        method: sign_in.method.as_str(),
        label: sign_in.label,
        address: sign_in.address.map(|address| address.to_string()),
        created_at: sign_in.created_at,
        last_used_at: sign_in.last_used_at,
        expires_at: sign_in.expires_at,
        current: Some(sign_in.id) == current,
    });
    Ok(Json(SignInList { sign_ins: sign_ins.collect() }))
}

/// Ends one of your sign-ins, with its tokens and connections.
#[utoipa::path(
    delete, path = "/v1/auth/sign-ins/{id}", operation_id = "endSignIn", tag = "sign-in",
    params(("id" = String, Path, description = "The `id` of the sign-in.")),
    responses(
        (status = 204, description = "Ended. Its connections end within a second."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: an API token cannot change credentials."),
        (status = 404, description = "`not_found`: you have no such sign-in."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn end_sign_in(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.must_be_whole()?;
    let missing = || Problem::new(ErrorCode::NotFound, "you have no such sign-in");
    let id = Uuid::try_parse(&id).map_err(|_| missing())?;
    let (user, which) = (caller.user().id.clone(), SignIns::One(id));
    let end = SignInEnd { user, which, reason: "ended_by_user", access_until: access_until(&app) };
    let ended = app.store.end_sign_ins(end, caller.by(&app)).await?;
    if ended.is_empty() {
        return Err(missing());
    }
    note_ended(&app, &ended);
    Ok(StatusCode::NO_CONTENT)
}
