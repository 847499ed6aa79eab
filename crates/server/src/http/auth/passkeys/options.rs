//! `POST /v1/auth/passkeys/options`: begins to register a passkey.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_protocol::ErrorCode;
use healthmate_storage::{Error, MAX_PASSKEYS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Base64Url, PUBLIC_KEY, REQUIRED, relying_party};
use crate::app::App;
use crate::auth::passkey::{ALGORITHMS, Ceremony, GOOD_FOR_MS};
use crate::http::auth::attempt::prove;
use crate::http::auth::{Body, From};
use crate::http::caller::Caller;
use crate::http::{DEMO_PREFIX, Problem};

/// What authenticators show as the one who asks.
const RP_NAME: &str = "HealthMate";

/// What begins the registration of a passkey.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasskeyOptionsRequest {
    /// Your password: needed where your sign-in is not a fresh one.
    password: Option<String>,
}

/// For `PublicKeyCredential.parseCreationOptionsFromJSON` and `navigator.credentials.create`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct PasskeyCreationOptions {
    rp: Rp,
    user: PasskeyUser,
    /// Good once, for five minutes, for you.
    challenge: Base64Url,
    /// ES256, EdDSA and RS256.
    pub_key_cred_params: [Parameters; 3],
    /// In milliseconds.
    timeout: i64,
    /// Your passkeys: an authenticator that has one makes no other.
    exclude_credentials: Vec<Descriptor>,
    authenticator_selection: Selection,
    /// `none`.
    attestation: &'static str,
}

/// The server.
#[derive(Serialize, JsonSchema)]
struct Rp {
    /// The domain that passkeys belong to.
    id: String,
    name: &'static str,
}

/// You, as your authenticator shows you.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PasskeyUser {
    /// Says nothing of who you are.
    id: Base64Url,
    name: String,
    display_name: String,
}

/// A kind of key that is taken.
#[derive(Serialize, JsonSchema)]
struct Parameters {
    r#type: &'static str,
    /// The COSE number of an algorithm.
    alg: i32,
}

/// A passkey.
#[derive(Serialize, JsonSchema)]
struct Descriptor {
    r#type: &'static str,
    id: Base64Url,
}

/// What is asked of the authenticator.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Selection {
    /// `required`: it is found without the user's name.
    resident_key: &'static str,
    require_resident_key: bool,
    /// `required`.
    user_verification: &'static str,
}

/// Begins to register a passkey.
///
/// Goes on with the sign-in of the last minutes (`auth.passkeys.fresh_sign_in_s`), or with your password.
#[utoipa::path(
    post, path = "/v1/auth/passkeys/options", operation_id = "beginPasskey", tag = "sign-in",
    request_body(content = ref("#/components/schemas/PasskeyOptionsRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "What the browser needs, good for five minutes.",
         body = ref("#/components/schemas/PasskeyCreationOptions"), content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused; or `sign_in_refused`: the \
                                      password is wrong, or there is none."),
        (status = 403, description = "`sign_in_too_old`: send your password; or `access_denied`: an API token cannot \
                                      change credentials."),
        (status = 404, description = "`not_found`: passkeys are not set up."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 429, description = "`too_many_requests`: wait as `Retry-After` says; or you have 20 passkeys."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn begin_passkey(
    State(app): State<Arc<App>>,
    From(address): From,
    caller: Caller,
    Body(request): Body<PasskeyOptionsRequest>,
) -> Result<Json<PasskeyCreationOptions>, Problem> {
    caller.must_be_whole()?;
    let party = relying_party(&app)?;
    match request.password {
        Some(password) => drop(prove(&app, &caller, address, ("password", password)).await?),
        None => must_be_fresh(&app, &caller).await?,
    }
    let user = caller.user();
    let held = app.store.passkeys(&user.id).await?;
    // Before the authenticator makes one that could not be stored.
    if held.len() >= MAX_PASSKEYS as usize {
        return Err(Error::TooMany("passkey", MAX_PASSKEYS).into());
    }
    let challenge = party.challenge(Ceremony::Register(&user.id), &*app.clock);
    Ok(Json(PasskeyCreationOptions {
        rp: Rp { id: party.id().to_owned(), name: RP_NAME },
        user: PasskeyUser {
            id: Base64Url(party.user_handle(&user.id).to_vec()),
            name: user.id.to_string(),
            display_name: user.name.clone(),
        },
        challenge: Base64Url(challenge),
        pub_key_cred_params: ALGORITHMS.map(|alg| Parameters { r#type: PUBLIC_KEY, alg }),
        timeout: GOOD_FOR_MS,
        exclude_credentials: held
            .into_iter()
            .map(|passkey| Descriptor { r#type: PUBLIC_KEY, id: Base64Url(passkey.credential) })
            .collect(),
        authenticator_selection: Selection {
            resident_key: REQUIRED,
            require_resident_key: true,
            user_verification: REQUIRED,
        },
        attestation: "none",
    }))
}

/// Goes on only if the caller signed in lately: a token that was found, or a tablet left open, adds no passkey.
async fn must_be_fresh(app: &App, caller: &Caller) -> Result<(), Problem> {
    // The demo gives its tokens to anybody.
    if app.settings.demo && caller.user().id.as_str().starts_with(DEMO_PREFIX) {
        return Ok(());
    }
    let seconds = app.settings.auth.passkeys.fresh_sign_in_s;
    let since = app.clock.now().plus_millis(-i64::from(seconds) * 1000);
    let current = caller.credential().sign_in();
    let sign_ins = app.store.sign_ins(&caller.user().id).await?;
    if sign_ins.iter().any(|sign_in| Some(sign_in.id) == current && sign_in.created_at > since) {
        return Ok(());
    }
    let detail = format!("you did not sign in here within the last {seconds} s: send your password");
    Err(Problem::new(ErrorCode::SignInTooOld, detail).at("password"))
}
