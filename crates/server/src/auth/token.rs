//! Tokens as they come: three parts, of which nothing is believed yet.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::ErrorCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::signature::{Algorithm, VerifyingKey};

/// The longest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The longest `kid` that is read, in bytes.
pub(super) const MAX_KID_BYTES: usize = 256;

/// Why a token was refused: a `token_…` or `user_…` code, or one of storage. It never holds any of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenError(pub ErrorCode);

impl TokenError {
    /// The stable word.
    pub fn code(self) -> ErrorCode {
        self.0
    }

    /// Whether a look at what the issuer publishes now may bring another verdict.
    pub(crate) fn may_pass_with_fresh_keys(self) -> bool {
        matches!(self.0, ErrorCode::TokenKey | ErrorCode::KeysUnavailable)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.meaning())
    }
}

impl std::error::Error for TokenError {}

/// The part of the header that decides whether the rest is read. Where it says that a key can be found (`jwk`, `jku`,
/// `x5c`, `x5u`) is not read: keys come from the settings.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    /// Which of its issuer's keys signed it.
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11). None are, so a token that has one is refused.
    #[serde(default)]
    crit: Option<Value>,
}

/// A token that was taken apart, and whose signature was not checked.
pub(super) struct Unverified<'a> {
    /// The algorithm it says it is signed with.
    pub(super) algorithm: String,
    /// The key it says it is signed with: a word to compare, nothing else.
    pub(super) kid: Option<String>,
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart: its size and its header, and nothing that needs belief.
    ///
    /// # Errors
    /// `token_too_large`, or `token_malformed` if it is not three parts, its header is none, or asks for extensions.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let [header, claims, signature] = parts(token)?;
        let message = &token[..header.len() + 1 + claims.len()];
        let header: RawHeader = decode(header)?;
        if header.crit.is_some() || header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(TokenError(ErrorCode::TokenMalformed));
        }
        Ok(Self { algorithm: header.alg, kid: header.kid, message, claims, signature })
    }

    /// Who it says issued it: what is asked to check it, and nothing else.
    ///
    /// # Errors
    /// `token_malformed` if its claims are none.
    pub(super) fn iss(&self) -> Result<Option<String>, TokenError> {
        #[derive(Deserialize)]
        struct Issued {
            #[serde(default)]
            iss: Option<String>,
        }
        decode::<Issued>(self.claims).map(|issued| issued.iss)
    }

    /// All claims, of a token whose signature was found good.
    pub(super) fn claims_once_signed<T: DeserializeOwned>(&self) -> Result<T, TokenError> {
        decode(self.claims)
    }

    /// The claims, if the token is signed with `key` by `algorithm`.
    ///
    /// # Errors
    /// `token_signature` if it is not; `token_malformed` if the signature or the claims are none.
    pub(super) fn claims_signed_with<T: DeserializeOwned>(
        &self,
        key: &VerifyingKey,
        algorithm: Algorithm,
    ) -> Result<T, TokenError> {
        if key.signed(self.message, self.signature, algorithm)? {
            decode(self.claims)
        } else {
            Err(TokenError(ErrorCode::TokenSignature))
        }
    }
}

/// What a token says, good or not: its header and claims as JSON. For people who look for what is wrong with one.
///
/// # Errors
/// If it is too large or is not three parts of base64url with JSON in the first two.
pub fn inspect(token: &str) -> Result<Value, TokenError> {
    let [header, claims, _] = parts(token)?;
    Ok(json!({ "header": decode::<Value>(header)?, "claims": decode::<Value>(claims)? }))
}

fn parts(token: &str) -> Result<[&str; 3], TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError(ErrorCode::TokenTooLarge));
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) => Ok([header, claims, signature]),
        _ => Err(TokenError(ErrorCode::TokenMalformed)),
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError(ErrorCode::TokenMalformed))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError(ErrorCode::TokenMalformed))
}
