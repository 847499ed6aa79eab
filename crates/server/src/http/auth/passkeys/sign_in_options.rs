//! `POST /v1/auth/passkeys/sign-in/options`: begins to sign in with a passkey.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Base64Url, REQUIRED, relying_party};
use crate::app::App;
use crate::auth::passkey::{Ceremony, GOOD_FOR_MS};
use crate::http::Problem;

/// For `PublicKeyCredential.parseRequestOptionsFromJSON` and `navigator.credentials.get`. It is the same for everybody: the
/// authenticator knows who its user is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct PasskeyRequestOptions {
    /// Good once, for five minutes.
    challenge: Base64Url,
    /// The domain that passkeys belong to.
    rp_id: String,
    /// In milliseconds.
    timeout: i64,
    /// `required`.
    user_verification: &'static str,
}

/// Begins to sign in with a passkey.
#[utoipa::path(
    post, path = "/v1/auth/passkeys/sign-in/options", operation_id = "beginPasskeySignIn", tag = "sign-in",
    responses(
        (status = 200, description = "What the browser needs, good for five minutes.",
         body = ref("#/components/schemas/PasskeyRequestOptions"), content_type = "application/json"),
        (status = 404, description = "`not_found`: passkeys are not set up."),
    ),
)]
pub(in crate::http) async fn begin_passkey_sign_in(
    State(app): State<Arc<App>>,
) -> Result<Json<PasskeyRequestOptions>, Problem> {
    let party = relying_party(&app)?;
    Ok(Json(PasskeyRequestOptions {
        challenge: Base64Url(party.challenge(Ceremony::SignIn, &*app.clock)),
        rp_id: party.id().to_owned(),
        timeout: GOOD_FOR_MS,
        user_verification: REQUIRED,
    }))
}
