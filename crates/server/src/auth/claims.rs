//! What tokens say of their users.

use healthmate_care::User;
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::issuer::Elsewhere;
use super::token::TokenError;

/// The longest name that a token may give itself or its sign-in, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: UserId,
    /// Its `exp`.
    pub expires_at: Timestamp,
    /// Its `iat`, where it has one.
    pub issued_at: Option<Timestamp>,
    /// Its own name, `jti`, where it has one: 1 to 128 bytes.
    pub id: Option<Box<str>>,
    /// The sign-in it belongs to, `sid`, where it has one: 1 to 128 bytes. Only a token of our own has one: what others
    /// write there names nothing here.
    pub sign_in: Option<Box<str>>,
    /// What a token from elsewhere says beside it; `None` for one of our own.
    pub(crate) elsewhere: Option<Box<Elsewhere>>,
}

impl Claims {
    /// Whether all that the token says of its user is so: nothing is to be changed or refused.
    pub(crate) fn agrees_with(&self, user: &User) -> bool {
        let role = self.elsewhere.as_ref().and_then(|elsewhere| elsewhere.role);
        role.is_none_or(|role| role == user.role)
    }
}

/// What a token is called beside its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenNames {
    /// Its own name, `jti`: at most 128 bytes.
    pub id: Option<String>,
    /// The sign-in it belongs to, `sid`: at most 128 bytes.
    pub sign_in: Option<String>,
}

/// The claims as they are written. A claim that stands there twice is refused, as serde refuses duplicate fields: two
/// parsers could disagree about which one counts.
#[derive(Serialize, Deserialize)]
pub(super) struct RawClaims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sub: Option<String>,
    pub(super) exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<Audience>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
}

impl RawClaims {
    /// Refuses what has ended or not begun at `now`, by clocks that differ by `leeway_s` at most.
    pub(super) fn check_times(&self, now: Timestamp, leeway_s: i64) -> Result<(), TokenError> {
        let now_s = whole_seconds(now);
        if now_s.saturating_sub(leeway_s) >= self.exp {
            return Err(TokenError(ErrorCode::TokenExpired));
        }
        if self.nbf.is_some_and(|nbf| now_s.saturating_add(leeway_s) < nbf) {
            return Err(TokenError(ErrorCode::TokenNotYetValid));
        }
        Ok(())
    }

    /// Refuses what is not made for `audience`, where there is one.
    pub(super) fn check_audience(&self, audience: Option<&str>) -> Result<(), TokenError> {
        match (audience, &self.aud) {
            (None, _) => Ok(()),
            (Some(audience), Some(named)) if named.names(audience) => Ok(()),
            _ => Err(TokenError(ErrorCode::TokenAudience)),
        }
    }

    /// The claims of `user`.
    pub(super) fn of(self, user: UserId) -> Result<Claims, TokenError> {
        Ok(Claims {
            user,
            expires_at: seconds(self.exp),
            issued_at: self.iat.map(seconds),
            id: name(self.jti)?,
            sign_in: name(self.sid)?,
            elsewhere: None,
        })
    }
}

fn name(text: Option<String>) -> Result<Option<Box<str>>, TokenError> {
    match text {
        Some(text) if text.is_empty() || text.len() > MAX_NAME_BYTES => {
            Err(TokenError(ErrorCode::TokenMalformed))
        }
        text => Ok(text.map(String::into_boxed_str)),
    }
}

/// Seconds since 1970, as tokens count them.
pub(super) fn whole_seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

/// The time of so many seconds since 1970.
pub(super) fn seconds(since_epoch: i64) -> Timestamp {
    Timestamp::from_micros(since_epoch.saturating_mul(1_000_000))
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}
