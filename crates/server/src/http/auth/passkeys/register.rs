//! `POST /v1/auth/passkeys`: registers a passkey.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use healthmate_care::AuditRecord;
use healthmate_protocol::ErrorCode;
use healthmate_storage::{Error, Passkey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Base64Url, PUBLIC_KEY, PasskeySummary, relying_party};
use crate::app::App;
use crate::auth::passkey::Refused;
use crate::http::Problem;
use crate::http::auth::{Body, check_name};
use crate::http::caller::Caller;

/// The passkey to register.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasskeyRequest {
    /// What you call it, 1 to 64 characters.
    name: String,
    credential: NewCredential,
}

/// What `toJSON` of a new `PublicKeyCredential` gives; other members are not read.
#[derive(Deserialize, JsonSchema)]
struct NewCredential {
    id: Base64Url,
    /// `public-key`.
    r#type: String,
    response: AttestationResponse,
}

/// What the authenticator made.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: Base64Url,
    /// Its attestation is not read.
    attestation_object: Base64Url,
}

/// Registers the passkey that your browser made of the options.
#[utoipa::path(
    post, path = "/v1/auth/passkeys", operation_id = "addPasskey", tag = "sign-in",
    request_body(content = ref("#/components/schemas/PasskeyRequest"), content_type = "application/json"),
    responses(
        (status = 201, description = "You can sign in with it.", body = ref("#/components/schemas/PasskeySummary"),
         content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`: also where the passkey is \
                                      refused."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: an API token cannot change credentials."),
        (status = 404, description = "`not_found`: passkeys are not set up."),
        (status = 409, description = "`invalid_field`: this passkey is registered already."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 429, description = "`too_many_requests`: you have 20 passkeys."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: begin again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(in crate::http) async fn add_passkey(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(request): Body<PasskeyRequest>,
) -> Result<(StatusCode, Json<PasskeySummary>), Problem> {
    caller.must_be_whole()?;
    let party = relying_party(&app)?;
    let PasskeyRequest { name, credential: NewCredential { id, r#type, response } } = request;
    check_name("name", &name)?;
    if r#type != PUBLIC_KEY {
        return Err(Problem::field("credential.type", "must be public-key"));
    }
    let (user, now) = (&caller.user().id, app.clock.now());
    let AttestationResponse { client_data_json, attestation_object } = response;
    let new = party.register(user, &client_data_json.0, &attestation_object.0, now);
    let new = match new.and_then(|new| if new.credential == id.0 { Ok(new) } else { Err(Refused::Malformed) })
    {
        Ok(new) => new,
        Err(refused) => {
            app.record_refusal(AuditRecord::passkey_refused(caller.by(&app), user, refused.reason())).await;
            return Err(explained(refused));
        }
    };
    let passkey = Passkey {
        credential: new.credential,
        user: user.clone(),
        name,
        algorithm: new.key.algorithm(),
        public_key: new.key.to_stored(),
        counter: new.counter,
        created_at: now,
        last_used_at: None,
    };
    match app.store.add_passkey(passkey.clone(), caller.by(&app)).await {
        Ok(()) => Ok((StatusCode::CREATED, Json(passkey.into()))),
        Err(Error::Exists(_)) => {
            app.record_refusal(AuditRecord::passkey_refused(caller.by(&app), user, "passkey_exists")).await;
            let problem = Problem::field("credential.id", "this passkey is registered already");
            Err(problem.with_status(StatusCode::CONFLICT))
        }
        Err(error) => Err(error.into()),
    }
}

fn explained(refused: Refused) -> Problem {
    let (field, detail) = refused.explain();
    match refused {
        Refused::Busy => Problem::new(ErrorCode::TooManyRequests, detail),
        _ => Problem::field(field, detail),
    }
}
