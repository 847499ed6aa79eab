//! `POST /v1/auth/password`: changes one's password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use healthmate_care::AuditRecord;
use healthmate_protocol::ErrorCode;
use healthmate_storage::{SignInEnd, SignIns};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Body, From, access_until, begin_attempt, note_ended};
use crate::app::App;
use crate::auth::password::{self, MAX_CHARS};
use crate::auth::throttle::Attempt;
use crate::http::Problem;
use crate::http::caller::Caller;
use crate::telemetry::metrics::SignInResult;

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
    if request.old_password.chars().count() > MAX_CHARS {
        return Err(Problem::field("old_password", format!("must be at most {MAX_CHARS} characters")));
    }
    let attempt = Attempt::new(Some(user.as_str()), address);
    begin_attempt(&app, &attempt)?;
    let proved = prove(&app, &caller, request.old_password).await;
    if proved.is_err() {
        // Only a password that was looked at counts.
        app.throttle.undone(&attempt);
    }
    if !proved? {
        app.metrics.sign_ins.of(SignInResult::Refused).inc();
        let problem = Problem::new(ErrorCode::SignInRefused, "the old password is another one");
        return Err(problem.at("old_password"));
    }
    app.throttle.succeeded(&attempt);
    let hash = app.passwords.hash(request.new_password).await?;
    let which = caller.credential().sign_in().map_or(SignIns::All, SignIns::AllBut);
    let access_until = access_until(&app);
    let end = SignInEnd { user: user.clone(), which, reason: "password_changed", access_until };
    note_ended(&app, &app.store.set_password(hash, end, caller.by(&app)).await?);
    Ok(StatusCode::NO_CONTENT)
}

/// Whether this is the caller's password. That it is not is on record before it is said: whoever holds no more than a stolen
/// token may be guessing.
async fn prove(app: &App, caller: &Caller, password: String) -> Result<bool, Problem> {
    let user = &caller.user().id;
    let hash = app.store.password(user).await?;
    let reason = if hash.is_some() { "wrong_password" } else { "no_password" };
    let matches = app.passwords.verify(password, hash).await?;
    if !matches {
        app.store.audit(vec![AuditRecord::sign_in_refused(caller.by(app), Some(user), reason)]).await?;
    }
    Ok(matches)
}
