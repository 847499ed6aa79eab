//! `/v1/users/{id}/tokens`: API tokens, for devices and programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use healthmate_care::{Role, TokenScope, TokenScopes, User};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::ApiToken;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Problem;
use super::auth::{Body, check_name};
use super::caller::Caller;
use crate::app::App;
use crate::auth::opaque::ApiSecret;

/// How long an API token may be good at most, where its end is given, in seconds: ten years.
const MAX_TTL_S: u64 = 10 * 365 * 86_400;

/// The API token to issue.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiTokenRequest {
    /// What people call it, 1 to 64 characters.
    name: String,
    /// What it opens: `read_measurements`, `write_measurements`, or both.
    scopes: Vec<String>,
    /// How long it is good, in seconds, 1 second to 10 years; until revoked if absent.
    expires_in: Option<u64>,
}

/// An API token that was just issued.
#[derive(Serialize, JsonSchema)]
pub(super) struct IssuedApiToken {
    /// The token, for `Authorization: Bearer` and for `authenticate`. It is shown this once.
    token: String,
    #[serde(flatten)]
    summary: ApiTokenSummary,
}

/// API tokens, the newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct ApiTokenList {
    tokens: Vec<ApiTokenSummary>,
}

/// An API token, without its secret.
#[derive(Serialize, JsonSchema)]
struct ApiTokenSummary {
    /// Names it.
    id: String,
    /// What people call it.
    name: String,
    /// What it opens.
    scopes: Vec<&'static str>,
    /// When it was issued.
    created_at: Timestamp,
    /// When it ends; until revoked if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// When it was used last, to a minute or so.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
}

impl From<ApiToken> for ApiTokenSummary {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            scopes: token.scopes.iter().map(TokenScope::as_str).collect(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

/// The user whose tokens the caller may see and steer: oneself, one's own device, or, for an administrator, any device.
async fn target(app: &App, caller: &Caller, id: &str) -> Result<User, Problem> {
    caller.must_be_whole()?;
    let found = match UserId::new(id) {
        Ok(id) => app.store.user(&id).await?,
        Err(_) => None,
    };
    let own = caller.user();
    let may = |user: &User| {
        user.id == own.id
            || user.device_of.as_ref() == Some(&own.id)
            || (own.role == Role::Admin && user.role == Role::Device)
    };
    found.filter(may).ok_or_else(|| {
        // The same for a user that does not exist.
        let detail =
            "API tokens are for oneself, one's own devices, and for administrators those of any device";
        Problem::new(ErrorCode::AccessDenied, detail)
    })
}

impl ApiTokenRequest {
    fn scopes(&self) -> Result<TokenScopes, Problem> {
        let scopes: Result<TokenScopes, _> =
            self.scopes.iter().map(|scope| scope.parse::<TokenScope>()).collect();
        match scopes {
            Ok(scopes) if !scopes.is_empty() => Ok(scopes),
            Ok(_) => Err(Problem::field("scopes", "must not be empty")),
            Err(unknown) => Err(Problem::field("scopes", unknown.to_string())),
        }
    }
}

/// Issues an API token for yourself or your own device; for administrators, one that writes, for any device.
#[utoipa::path(
    post, path = "/v1/users/{id}/tokens", operation_id = "issueApiToken", tag = "sign-in",
    params(("id" = String, Path, description = "Whose rights the token has a part of.")),
    request_body(content = ref("#/components/schemas/ApiTokenRequest"), content_type = "application/json"),
    responses(
        (status = 201, description = "The token: keep it, it is not shown again.",
         body = ref("#/components/schemas/IssuedApiToken"), content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: neither you nor your device; or you came with an API token."),
        (status = 429, description = "`too_many_requests`: the user has 100 API tokens."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(request): Body<ApiTokenRequest>,
) -> Result<(StatusCode, Json<IssuedApiToken>), Problem> {
    let user = target(&app, &caller, &id).await?;
    let scopes = request.scopes()?;
    check_name("name", &request.name)?;
    if caller.user().role == Role::Admin && scopes.contains(TokenScope::ReadMeasurements) {
        let detail = "administrators read no health data: what reads is issued by the patient";
        return Err(Problem::new(ErrorCode::AccessDenied, detail).at("scopes"));
    }
    if request.expires_in.is_some_and(|seconds| !(1..=MAX_TTL_S).contains(&seconds)) {
        return Err(Problem::field("expires_in", format!("must be 1 to {MAX_TTL_S} seconds")));
    }
    let (secret, now) = (ApiSecret::new(&*app.clock), app.clock.now());
    let token = ApiToken {
        id: secret.id,
        user: user.id,
        name: request.name,
        scopes,
        created_at: now,
        expires_at: request.expires_in.map(|seconds| now.plus_millis(seconds as i64 * 1000)),
        last_used_at: None,
        revoked_at: None,
    };
    app.store.add_api_token(token.clone(), secret.hash(), caller.by(&app)).await?;
    Ok((StatusCode::CREATED, Json(IssuedApiToken { token: secret.text(), summary: token.into() })))
}

/// The API tokens of yourself or your own device.
#[utoipa::path(
    get, path = "/v1/users/{id}/tokens", operation_id = "listApiTokens", tag = "sign-in",
    params(("id" = String, Path, description = "Whose.")),
    responses(
        (status = 200, description = "The tokens, the newest first, without their secrets.",
         body = ref("#/components/schemas/ApiTokenList"), content_type = "application/json"),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: neither you nor your device; or you came with an API token."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ApiTokenList>, Problem> {
    let user = target(&app, &caller, &id).await?;
    // What was used within the last minute is not written yet.
    app.api_tokens.write_uses(&*app.store).await?;
    let tokens = app.store.api_tokens(&user.id).await?;
    Ok(Json(ApiTokenList { tokens: tokens.into_iter().map(ApiTokenSummary::from).collect() }))
}

/// Takes back an API token.
#[utoipa::path(
    delete, path = "/v1/users/{id}/tokens/{token}", operation_id = "revokeApiToken", tag = "sign-in",
    params(
        ("id" = String, Path, description = "Whose."),
        ("token" = String, Path, description = "The `id` of the token."),
    ),
    responses(
        (status = 204, description = "Revoked. Its connections end within a second."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: neither you nor your device; or you came with an API token."),
        (status = 404, description = "`not_found`: the user has no such token."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let user = target(&app, &caller, &id).await?;
    let token = Uuid::try_parse(&token)
        .map_err(|_| Problem::new(ErrorCode::NotFound, "the user has no such token"))?;
    app.store.revoke_api_token(&user.id, token, caller.by(&app)).await?;
    // On this node at once.
    app.api_tokens.changed(tokio::time::Instant::now().into_std());
    app.access_changed();
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
