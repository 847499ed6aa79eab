//! `POST /v1/auth/passkeys/sign-in`: signs in with a passkey.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_care::{AuditRecord, By, User};
use healthmate_protocol::{ErrorCode, UserId};
use healthmate_storage::Passkey;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Base64Url, PUBLIC_KEY, relying_party};
use crate::app::App;
use crate::auth::passkey::{PublicKey, Refused, RelyingParty};
use crate::auth::throttle::Attempt;
use crate::http::Problem;
use crate::http::auth::attempt::{begin_attempt, end_attempt};
use crate::http::auth::{Body, From, Proof, SignedIn, begin, check_name};

/// Who wants to sign in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasskeySignInRequest {
    credential: SignedCredential,
    /// What the client calls itself, 1 to 64 characters: shown in the list of sign-ins.
    label: Option<String>,
}

/// What `toJSON` of a `PublicKeyCredential` that signed gives; other members are not read.
#[derive(Deserialize, JsonSchema)]
struct SignedCredential {
    id: Base64Url,
    /// `public-key`.
    r#type: String,
    response: AssertionResponse,
}

/// What the authenticator signed.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: Base64Url,
    authenticator_data: Base64Url,
    signature: Base64Url,
    /// What the authenticator calls its user.
    user_handle: Base64Url,
}

/// Signs in with a passkey.
///
/// Whatever is wrong, the answer is the same: with a passkey that is unknown, was removed, or is a disabled user's, with its
/// signature, its challenge, or the page that asked. The audit trail says which it was. After some wrong attempts from an
/// address, each further one must wait, twice as long every time.
#[utoipa::path(
    post, path = "/v1/auth/passkeys/sign-in", operation_id = "signInWithPasskey", tag = "sign-in",
    request_body(content = ref("#/components/schemas/PasskeySignInRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The tokens.", body = ref("#/components/schemas/SignedIn"),
         content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`sign_in_refused`: begin again with new options."),
        (status = 404, description = "`not_found`: passkeys are not set up."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 429, description = "`too_many_requests`: wait as `Retry-After` says."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: begin again after `Retry-After`."),
    ),
)]
pub(in crate::http) async fn passkey_sign_in(
    State(app): State<Arc<App>>,
    From(address): From,
    Body(request): Body<PasskeySignInRequest>,
) -> Result<Json<SignedIn>, Problem> {
    let party = relying_party(&app)?;
    let PasskeySignInRequest { credential, label } = request;
    label.as_deref().map_or(Ok(()), |label| check_name("label", label))?;
    if credential.r#type != PUBLIC_KEY {
        return Err(Problem::field("credential.type", "must be public-key"));
    }
    // Whose passkey it is, nobody knows yet: who knows its id could otherwise keep its user out.
    let attempt = Attempt::new(None, address);
    begin_attempt(&app, &attempt)?;
    let checked = match check(&app, party, credential).await {
        Ok(Err(denied)) => Err(refuse(&app, denied, address).await),
        Ok(Ok(user)) => Ok(user),
        Err(problem) => Err(problem),
    };
    end_attempt(&app, &attempt, &checked);
    Ok(Json(begin(&app, &checked?, Proof::Passkey, label, address).await?))
}

/// Why somebody was not let in, and who, if that is known.
struct Denied {
    reason: &'static str,
    user: Option<UserId>,
}

/// The user whose passkey it is, if all is right; and if not, why. Each one who sends what a passkey could have signed is
/// looked for in the same way, and has a signature checked.
async fn check(
    app: &App,
    party: &RelyingParty,
    credential: SignedCredential,
) -> Result<Result<User, Denied>, Problem> {
    let AssertionResponse { client_data_json, authenticator_data, signature, user_handle } =
        credential.response;
    let (id, now) = (credential.id.0, app.clock.now());
    let asserted = match party.assert(&client_data_json.0, &authenticator_data.0, now) {
        Ok(asserted) => asserted,
        Err(Refused::Busy) => {
            return Err(Problem::new(ErrorCode::TooManyRequests, Refused::Busy.explain().1));
        }
        Err(refused) => return Ok(Err(Denied { reason: refused.reason(), user: None })),
    };
    let (passkey, user) = found(app, &id).await?;
    let key = passkey.as_ref().and_then(|held| PublicKey::from_stored(held.algorithm, &held.public_key));
    let known = key.is_some();
    let signed = key.or_else(PublicKey::nobodys).is_some_and(|key| asserted.is_signed(&key, &signature.0));
    let (Some(user), true) = (user, known) else {
        return Ok(Err(Denied { reason: "passkey_unknown", user: None }));
    };
    let reason = if !signed {
        "passkey_signature"
    } else if user_handle.0 != party.user_handle(&user.id) {
        "passkey_user"
    } else if !user.active {
        "user_inactive"
    } else if !app.store.passkey_used(&id, asserted.counter, now).await? {
        // There are two of it. It stays: which of them is its user's, nobody can tell from here.
        "passkey_counter"
    } else {
        return Ok(Ok(user));
    };
    Ok(Err(Denied { reason, user: Some(user.id) }))
}

/// The passkey and its user; for what is unknown, somebody is looked for all the same.
async fn found(app: &App, credential: &[u8]) -> Result<(Option<Passkey>, Option<User>), Problem> {
    // No credential has an id of no length, or one that is longer than WebAuthn has it: it is just not found.
    let passkey = app.store.passkey(credential).await?;
    let nobody = || UserId::new("nobody").map_err(|_| refused());
    let id = passkey.as_ref().map_or_else(nobody, |passkey| Ok(passkey.user.clone()))?;
    let user = app.store.user(&id).await?.filter(|_| passkey.is_some());
    Ok((passkey, user))
}

/// The answer to somebody who is not let in, which is recorded.
async fn refuse(app: &App, denied: Denied, address: Option<IpAddr>) -> Problem {
    let Denied { reason, user } = denied;
    let by = By::anonymous(address, app.clock.now());
    match app.store.audit(vec![AuditRecord::sign_in_refused(by, user.as_ref(), reason)]).await {
        Ok(()) => refused(),
        Err(error) => error.into(),
    }
}

fn refused() -> Problem {
    Problem::new(ErrorCode::SignInRefused, "the passkey does not let anyone in")
}
