//! `DELETE /v1/auth/passkeys/{id}`: takes back a passkey.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::ErrorCode;

use crate::app::App;
use crate::http::Problem;
use crate::http::caller::Caller;

/// Takes back one of your passkeys. Who signed in with it stays signed in until that sign-in is ended.
#[utoipa::path(
    delete, path = "/v1/auth/passkeys/{id}", operation_id = "removePasskey", tag = "sign-in",
    params(("id" = String, Path, description = "The `id` of the passkey.")),
    responses(
        (status = 204, description = "Nobody signs in with it any more."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: an API token cannot change credentials."),
        (status = 404, description = "`not_found`: you have no such passkey."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn remove_passkey(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.must_be_whole()?;
    let missing = |_| Problem::new(ErrorCode::NotFound, "you have no such passkey");
    let credential = URL_SAFE_NO_PAD.decode(id).map_err(missing)?;
    app.store.remove_passkey(&caller.user().id, &credential, caller.by(&app)).await?;
    Ok(StatusCode::NO_CONTENT)
}
