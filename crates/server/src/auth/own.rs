//! The issuer that is the server itself: tokens signed with its secret, by `healthmate token issue` and by sign-ins.

use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use super::claims::{Audience, Claims, RawClaims, TokenNames, whole_seconds};
use super::signature::{Algorithm, VerifyingKey};
use super::token::{TokenError, Unverified};
use crate::config::{AuthSettings, Secret};

/// The one algorithm of its tokens. `none` is not one, and neither is anything whose key could be public.
const ALGORITHM: &str = "HS256";

/// Takes and makes tokens that are signed with HS256 and the server's secret.
pub(super) struct OwnIssuer {
    decoding: VerifyingKey,
    encoding: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    leeway_s: i64,
}

impl OwnIssuer {
    pub(super) fn new(settings: &AuthSettings, secret: &Secret) -> Self {
        Self {
            decoding: VerifyingKey::of_secret(secret.expose().as_bytes()),
            encoding: EncodingKey::from_secret(secret.expose().as_bytes()),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_s: i64::from(settings.leeway_s),
        }
    }

    pub(super) fn issues(&self, iss: &str) -> bool {
        self.issuer.as_deref() == Some(iss)
    }

    pub(super) fn verify(&self, token: &Unverified<'_>, now: Timestamp) -> Result<Claims, TokenError> {
        if token.algorithm != ALGORITHM {
            return Err(TokenError(ErrorCode::TokenAlgorithm));
        }
        let mut claims: RawClaims = token.claims_signed_with(&self.decoding, Algorithm::HS256)?;
        let user = claims.sub.take().and_then(|sub| UserId::new(&sub).ok());
        let user = user.ok_or(TokenError(ErrorCode::TokenMalformed))?;
        claims.check_times(now, self.leeway_s)?;
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(TokenError(ErrorCode::TokenIssuer));
        }
        claims.check_audience(self.audience.as_deref())?;
        claims.of(user)
    }

    pub(super) fn issue(&self, user: &UserId, names: TokenNames, ttl_s: u32, now: Timestamp) -> String {
        let now_s = whole_seconds(now);
        self.sign(&RawClaims {
            sub: Some(user.to_string()),
            exp: now_s + i64::from(ttl_s),
            iat: Some(now_s),
            nbf: None,
            iss: self.issuer.clone(),
            aud: self.audience.clone().map(Audience::One),
            jti: names.id,
            sid: names.sign_in,
        })
    }

    #[expect(
        clippy::expect_used,
        reason = "an HMAC takes a key of any length, and these claims are plain JSON"
    )]
    pub(super) fn sign(&self, claims: &impl Serialize) -> String {
        jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::HS256), claims, &self.encoding)
            .expect("HS256 signs")
    }
}
