//! `POST /v1/auth/logout`: signs out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use healthmate_protocol::ErrorCode;
use healthmate_storage::{SignInEnd, SignIns};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Body, access_until, note_ended};
use crate::app::App;
use crate::http::Problem;
use crate::http::caller::Caller;

/// What to end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LogoutRequest {
    /// Whether all of the user's sign-ins end; otherwise the one that the access token belongs to.
    #[serde(default)]
    everywhere: bool,
}

/// Signs out: ends this sign-in, or all of yours, with their tokens and connections.
#[utoipa::path(
    post, path = "/v1/auth/logout", operation_id = "logout", tag = "sign-in",
    request_body(content = ref("#/components/schemas/LogoutRequest"), content_type = "application/json"),
    responses(
        (status = 204, description = "Signed out. Open connections end within a second."),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: an API token cannot change credentials."),
        (status = 404, description = "`not_found`: the token belongs to no sign-in."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn logout(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(request): Body<LogoutRequest>,
) -> Result<StatusCode, Problem> {
    caller.must_be_whole()?;
    let which = match (request.everywhere, caller.credential().sign_in()) {
        (true, _) => SignIns::All,
        (false, Some(id)) => SignIns::One(id),
        (false, None) => {
            return Err(Problem::new(ErrorCode::NotFound, "this token belongs to no sign-in"));
        }
    };
    let user = caller.user().id.clone();
    let end = SignInEnd { user, which, reason: "logout", access_until: access_until(&app) };
    note_ended(&app, &app.store.end_sign_ins(end, caller.by(&app)).await?);
    Ok(StatusCode::NO_CONTENT)
}
