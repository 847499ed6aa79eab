//! `/v1/auth/passkeys`: signing in with passkeys, and keeping one's own.
//!
//! What goes over the wire is what browsers make of it: `PublicKeyCredential.parseCreationOptionsFromJSON`,
//! `parseRequestOptionsFromJSON` and `toJSON` (WebAuthn Level 3, 5.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::{ErrorCode, Timestamp};
use healthmate_storage::Passkey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::app::App;
use crate::auth::passkey::RelyingParty;
use crate::http::Problem;

pub(in crate::http) mod list;
pub(in crate::http) mod options;
pub(in crate::http) mod register;
pub(in crate::http) mod remove;
pub(in crate::http) mod sign_in;
pub(in crate::http) mod sign_in_options;
#[cfg(test)]
mod tests;

/// What is asked of authenticators everywhere: that they make sure who is there.
const REQUIRED: &str = "required";

/// The only type of credential there is.
const PUBLIC_KEY: &str = "public-key";

/// Bytes, which are base64url without padding in JSON.
struct Base64Url(Vec<u8>);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?);
        bytes.map(Self).map_err(|_| D::Error::custom("must be base64url without padding"))
    }
}

impl JsonSchema for Base64Url {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Base64Url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64url" })
    }
}

/// One of your passkeys.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct PasskeySummary {
    /// Names it: the id of the credential.
    id: Base64Url,
    /// What you call it.
    name: String,
    /// When it was registered.
    created_at: Timestamp,
    /// When it was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
}

impl From<Passkey> for PasskeySummary {
    fn from(passkey: Passkey) -> Self {
        let Passkey { credential, name, created_at, last_used_at, .. } = passkey;
        Self { id: Base64Url(credential), name, created_at, last_used_at }
    }
}

/// Who the server is to passkeys.
fn relying_party(app: &App) -> Result<&RelyingParty, Problem> {
    let off =
        || Problem::new(ErrorCode::NotFound, "passkeys are not set up on this server: auth.passkeys.rp_id");
    app.passkeys.as_ref().ok_or_else(off)
}
