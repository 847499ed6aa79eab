//! Tokens: JWTs signed with HS256.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{AuthSettings, Secret};

/// The longest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The algorithms that are taken. `none` is not one, and neither is anything whose key could be public.
const ALLOWED: &[&str] = &["HS256"];

/// Why a token was refused: a `token_…` or `user_…` code, or one of storage. It never holds any of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenError(pub ErrorCode);

impl TokenError {
    /// The stable word.
    pub fn code(self) -> ErrorCode {
        self.0
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.meaning())
    }
}

impl std::error::Error for TokenError {}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Its `sub`.
    pub user: UserId,
    /// Its `exp`.
    pub expires_at: Timestamp,
}

/// The claims as they are written. A claim that stands there twice is refused, as serde refuses duplicate fields:
/// two parsers could disagree about which one counts.
#[derive(Serialize, Deserialize)]
struct RawClaims {
    sub: UserId,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// The part of the header that decides whether the rest is read.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    /// Extensions that must be understood (RFC 7515, 4.1.11). None are, so a token that has one is refused.
    #[serde(default)]
    crit: Option<Value>,
}

/// Says whether tokens are good, and makes them.
pub struct TokenVerifier {
    decoding: DecodingKey,
    encoding: EncodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
    leeway_s: i64,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenVerifier(redacted)")
    }
}

impl TokenVerifier {
    /// Takes tokens that are signed with `secret` and are as `settings` ask.
    pub fn new(settings: &AuthSettings, secret: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times and names are checked here: against the clock that was given, with a code of their own each.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self {
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            encoding: EncodingKey::from_secret(secret.expose().as_bytes()),
            validation,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_s: i64::from(settings.leeway_s),
        }
    }

    /// Whose token this is, if it is good at `now`.
    ///
    /// # Errors
    /// With the `token_…` code that says why not. Nothing the token claims is looked at before its signature was
    /// found good.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        check_header(token)?;
        let decoded = jsonwebtoken::decode::<RawClaims>(token, &self.decoding, &self.validation);
        let claims = decoded.map_err(|error| TokenError(code_of(error.kind())))?.claims;
        self.check_times(&claims, now)?;
        self.check_names(&claims)?;
        Ok(Claims { user: claims.sub, expires_at: seconds(claims.exp) })
    }

    fn check_times(&self, claims: &RawClaims, now: Timestamp) -> Result<(), TokenError> {
        let now_s = now.as_micros().div_euclid(1_000_000);
        if now_s.saturating_sub(self.leeway_s) >= claims.exp {
            return Err(TokenError(ErrorCode::TokenExpired));
        }
        if claims.nbf.is_some_and(|nbf| now_s.saturating_add(self.leeway_s) < nbf) {
            return Err(TokenError(ErrorCode::TokenNotYetValid));
        }
        Ok(())
    }

    fn check_names(&self, claims: &RawClaims) -> Result<(), TokenError> {
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(TokenError(ErrorCode::TokenIssuer));
        }
        if let Some(audience) = &self.audience
            && !claims.aud.as_ref().is_some_and(|named| named.names(audience))
        {
            return Err(TokenError(ErrorCode::TokenAudience));
        }
        Ok(())
    }

    /// A token for `user` that this verifier takes from `now` on, for `ttl_s` seconds.
    pub fn issue(&self, user: &UserId, ttl_s: u32, now: Timestamp) -> String {
        let now_s = now.as_micros().div_euclid(1_000_000);
        let claims = RawClaims {
            sub: user.clone(),
            exp: now_s + i64::from(ttl_s),
            iat: Some(now_s),
            nbf: None,
            iss: self.issuer.clone(),
            aud: self.audience.clone().map(Audience::One),
        };
        self.sign(&claims)
    }

    #[expect(
        clippy::expect_used,
        reason = "an HMAC takes a key of any length, and these claims are plain JSON"
    )]
    fn sign(&self, claims: &impl Serialize) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding).expect("HS256 signs")
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

/// The size and the algorithm, before anything else is believed.
fn check_header(token: &str) -> Result<(), TokenError> {
    let [header, ..] = parts(token)?;
    let header: RawHeader = decode(header)?;
    if !ALLOWED.contains(&header.alg.as_str()) {
        return Err(TokenError(ErrorCode::TokenAlgorithm));
    }
    if header.crit.is_some() {
        return Err(TokenError(ErrorCode::TokenMalformed));
    }
    Ok(())
}

fn parts(token: &str) -> Result<[&str; 3], TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError(ErrorCode::TokenTooLarge));
    }
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().map_err(|_| TokenError(ErrorCode::TokenMalformed))
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError(ErrorCode::TokenMalformed))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError(ErrorCode::TokenMalformed))
}

fn code_of(kind: &ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::InvalidSignature => ErrorCode::TokenSignature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            ErrorCode::TokenAlgorithm
        }
        _ => ErrorCode::TokenMalformed,
    }
}

fn seconds(since_epoch: i64) -> Timestamp {
    Timestamp::from_micros(since_epoch.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests;
