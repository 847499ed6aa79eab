//! `GET /v1/auth/passkeys`: the caller's passkeys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::PasskeySummary;
use crate::app::App;
use crate::http::Problem;
use crate::http::caller::Caller;

/// Your passkeys, the oldest first.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct PasskeyList {
    passkeys: Vec<PasskeySummary>,
}

/// Your passkeys: also where the server has turned them off.
#[utoipa::path(
    get, path = "/v1/auth/passkeys", operation_id = "listPasskeys", tag = "sign-in",
    responses(
        (status = 200, description = "The passkeys, the oldest first.", body = ref("#/components/schemas/PasskeyList"),
         content_type = "application/json"),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: an API token cannot see credentials."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn passkeys(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<PasskeyList>, Problem> {
    caller.must_be_whole()?;
    let passkeys = app.store.passkeys(&caller.user().id).await?;
    Ok(Json(PasskeyList { passkeys: passkeys.into_iter().map(PasskeySummary::from).collect() }))
}
