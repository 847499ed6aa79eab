//! `POST /v1/auth/refresh`: exchanges a refresh token for the next one, and an access token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_care::{AuditRecord, By};
use healthmate_protocol::{ErrorCode, UserId};
use healthmate_storage::{Rotated, Rotation, SignIn};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Body, DAY_MS, From, SignedIn, access_until, note_ended};
use crate::app::App;
use crate::auth::opaque::RefreshToken;
use crate::http::Problem;
use crate::telemetry::labels::SignInResult;

/// The refresh token to exchange.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RefreshRequest {
    /// The newest one of the sign-in.
    refresh_token: String,
}

/// Exchanges a refresh token for the next one, and an access token.
///
/// A refresh token is good once. One that comes again ends its whole sign-in, because two have it; only if its answer was
/// lost, which the client must notice within half a minute, is it taken once more.
#[utoipa::path(
    post, path = "/v1/auth/refresh", operation_id = "refresh", tag = "sign-in",
    request_body(content = ref("#/components/schemas/RefreshRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The tokens.", body = ref("#/components/schemas/SignedIn"),
         content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`token_malformed`, `token_revoked`, `token_expired` or `user_inactive`: sign in \
                                      again."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
)]
pub(in crate::http) async fn refresh(
    State(app): State<Arc<App>>,
    From(address): From,
    Body(request): Body<RefreshRequest>,
) -> Result<Json<SignedIn>, Problem> {
    let exchanged = exchange(&app, address, &request.refresh_token).await?;
    let (sign_in, next) = match exchanged {
        Ok(exchanged) => exchanged,
        Err((code, user)) => {
            let by = By::anonymous(address, app.clock.now());
            app.record_refusal(AuditRecord::sign_in_refused(by, user.as_ref(), code.as_str())).await;
            return Err(Problem::new(code, "sign in again"));
        }
    };
    let user = app.store.user(&sign_in.user).await?;
    let user = user.ok_or_else(|| Problem::new(ErrorCode::UserUnknown, "sign in again"))?;
    app.metrics.sign_ins.of(SignInResult::Renewed).inc();
    Ok(Json(SignedIn::new(&app, &user, &sign_in, &next)))
}

/// Why a refresh token is not exchanged, and whose it is, where that is known.
type Refused = (ErrorCode, Option<UserId>);

/// Exchanges the token for the next one of its sign-in.
async fn exchange(
    app: &App,
    address: Option<IpAddr>,
    token: &str,
) -> Result<Result<(SignIn, RefreshToken), Refused>, Problem> {
    let Some(presented) = RefreshToken::parse(token) else {
        return Ok(Err((ErrorCode::TokenMalformed, None)));
    };
    let (settings, now) = (&app.settings.sign_in, app.clock.now());
    let next = presented.next(&*app.clock);
    let rotation = Rotation {
        sign_in: presented.sign_in,
        family: presented.family_hash(),
        presented: presented.own_hash(),
        next: next.own_hash(),
        grace_since: now.plus_millis(-i64::from(settings.refresh_grace_s) * 1000),
        idle_since: now.plus_millis(-i64::from(settings.idle_days) * DAY_MS),
        access_until: access_until(app),
    };
    Ok(match app.store.rotate(rotation, By::anonymous(address, now)).await? {
        Rotated::Renewed(sign_in) => Ok((sign_in, next)),
        Rotated::Reused(user) => {
            note_ended(app, &[presented.sign_in]);
            app.metrics.sign_ins.of(SignInResult::Reused).inc();
            tracing::warn!(user.id = %user, "a refresh token came a second time: its sign-in was ended");
            Err((ErrorCode::TokenRevoked, Some(user)))
        }
        Rotated::Inactive(user) => Err((ErrorCode::UserInactive, Some(user))),
        Rotated::Ended | Rotated::Unknown => Err((ErrorCode::TokenRevoked, None)),
        Rotated::Expired => Err((ErrorCode::TokenExpired, None)),
    })
}
