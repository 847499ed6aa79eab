//! `POST /v1/auth/password`: changes one's password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use healthmate_protocol::ErrorCode;
use healthmate_storage::{Error, NewPassword, SignInEnd, SignIns};
use schemars::JsonSchema;
use serde::Deserialize;

use super::attempt::prove;
use super::{Body, From, access_until, note_ended};
use crate::app::App;
use crate::auth::password;
use crate::http::Problem;
use crate::http::caller::Caller;

/// The old password and the new one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasswordRequest {
    /// The password so far.
    old_password: String,
    /// The new one: 8 to 128 characters, none of the commonest, without the user's id.
    new_password: String,
}

/// Changes your password, and ends all your sign-ins but this one.
#[utoipa::path(
    post, path = "/v1/auth/password", operation_id = "changePassword", tag = "sign-in",
    request_body(content = ref("#/components/schemas/PasswordRequest"), content_type = "application/json"),
    responses(
        (status = 204, description = "Changed. Other sign-ins have ended, and their connections end within a second."),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused; or `sign_in_refused`: the \
                                      old password is wrong, or there is none."),
        (status = 403, description = "`access_denied`: an API token cannot change credentials."),
        (status = 429, description = "`too_many_requests`: wait as `Retry-After` says."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn change_password(
    State(app): State<Arc<App>>,
    From(address): From,
    caller: Caller,
    Body(request): Body<PasswordRequest>,
) -> Result<StatusCode, Problem> {
    caller.must_be_whole()?;
    let user = &caller.user().id;
    password::check(&request.new_password, user.as_str())
        .map_err(|weak| Problem::field("new_password", weak.to_string()))?;
    let verified = prove(&app, &caller, address, ("old_password", request.old_password)).await?;
    let hash = app.passwords.hash(request.new_password).await?;
    let which = caller.credential().sign_in().map_or(SignIns::All, SignIns::AllBut);
    let access_until = access_until(&app);
    let end = SignInEnd { user: user.clone(), which, reason: "password_changed", access_until };
    let new = NewPassword { hash, instead_of: Some(verified) };
    match app.store.set_password(new, end, caller.by(&app)).await {
        // While the new one was hashed.
        Err(Error::Changed(_)) => {
            let detail = "the password was changed meanwhile";
            Err(Problem::new(ErrorCode::SignInRefused, detail).at("old_password"))
        }
        ended => {
            note_ended(&app, &ended?);
            Ok(StatusCode::NO_CONTENT)
        }
    }
}
