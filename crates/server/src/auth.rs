//! Who is calling: tokens, and what their users may do.
//!
//! [`TokenVerifier`] says whether a token is good and whose it is; [`authenticate`] also asks whether that user
//! exists and is active; [`access::may`] asks the policy of `care`. Tokens are never logged and never part of an
//! error.

use std::borrow::Borrow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use healthmate_care::{Clock, TokenScopes, User};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::{ApiToken, Error, SecretHash};
use uuid::Uuid;

use self::opaque::{API_PREFIX, ApiSecret};
use crate::app::App;

pub mod access;
pub(crate) mod api_tokens;
pub mod audit_key;
mod claims;
mod first_sight;
mod header;
mod issuer;
pub(crate) mod opaque;
mod own;
pub(crate) mod passkey;
pub mod password;
pub(crate) mod revocations;
pub mod secret;
mod signature;
pub(crate) mod throttle;
mod token;
mod verifier;

pub use claims::{Claims, MAX_NAME_BYTES, TokenNames};
pub(crate) use first_sight::user_of;
pub(crate) use header::authorization;
pub use header::token_from_headers;
pub use issuer::IssuerError;
pub use issuer::fetch::check_jwks_url;
pub use token::{MAX_TOKEN_BYTES, TokenError, inspect};
pub use verifier::TokenVerifier;

/// An active user with a good token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who it is.
    pub user: User,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// What it came in with.
    pub credential: Credential,
}

/// What somebody came in with, as far as it can be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A JWT, with its `jti` and `sid` where it has them.
    Token {
        /// Its own name.
        id: Option<Box<str>>,
        /// The sign-in it belongs to.
        sign_in: Option<Box<str>>,
    },
    /// An API token, which opens a part of what its user may.
    Api {
        /// Which.
        id: Uuid,
        /// What it opens.
        scopes: TokenScopes,
    },
}

impl Credential {
    /// What it opens at most; `None` for all that its user may.
    pub fn scopes(&self) -> Option<TokenScopes> {
        match self {
            Self::Token { .. } => None,
            Self::Api { scopes, .. } => Some(*scopes),
        }
    }

    /// The sign-in it belongs to, if it belongs to one of ours.
    pub fn sign_in(&self) -> Option<Uuid> {
        match self {
            Self::Token { sign_in, .. } => sign_in.as_deref().and_then(|id| Uuid::try_parse(id).ok()),
            Self::Api { .. } => None,
        }
    }
}

/// What a good token gives.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// What it says.
    pub(crate) claims: Claims,
    pub(crate) credential: Credential,
}

impl Grant {
    fn of_claims(app: &App, claims: Claims) -> Result<Self, TokenError> {
        let credential = Credential::Token { id: claims.id.clone(), sign_in: claims.sign_in.clone() };
        let grant = Self { claims, credential };
        grant.check(app)?;
        Ok(grant)
    }

    fn of_api_token(token: &ApiToken) -> Self {
        let credential = Credential::Api { id: token.id, scopes: token.scopes };
        let claims = Claims {
            user: token.user.clone(),
            // Without an end, the last time there is.
            expires_at: token.expires_at.unwrap_or(Timestamp::MAX),
            issued_at: Some(token.created_at),
            id: None,
            sign_in: None,
            elsewhere: None,
        };
        Self { claims, credential }
    }

    /// Refuses a JWT that was taken back, by what is known on this node.
    pub(crate) fn check(&self, app: &App) -> Result<(), TokenError> {
        match &self.credential {
            Credential::Token { id, sign_in }
                if app.revocations.include(sign_in.as_deref(), id.as_deref()) =>
            {
                Err(TokenError(ErrorCode::TokenRevoked))
            }
            _ => Ok(()),
        }
    }
}

/// Why an API token does not open what was asked for, in the audit trail.
pub(crate) const TOKEN_SCOPE: &str = "token_scope";

/// What the token gives, by what is known at `instant`; `None` where the store, or an issuer, must be asked.
pub(crate) fn known_grant(app: &App, token: &str, instant: Instant) -> Option<Result<Grant, TokenError>> {
    let now = app.clock.now();
    if !token.starts_with(API_PREFIX) {
        let verified = app.verifier.verify(token, now);
        if verified.as_ref().is_err_and(|error| error.may_pass_with_fresh_keys()) {
            return None;
        }
        return Some(verified.and_then(|claims| Grant::of_claims(app, claims)));
    }
    match ApiSecret::parse(token) {
        None => Some(Err(TokenError(ErrorCode::TokenMalformed))),
        Some(secret) => {
            let known = app.api_tokens.known(&secret, now, instant)?;
            Some(known.map(|held| Grant::of_api_token(&held.0)))
        }
    }
}

/// What the token gives.
///
/// # Errors
/// A `token_…` code if it is refused, `storage_unavailable` if it cannot be looked up.
pub(crate) async fn grant(app: &App, token: &str, instant: Instant) -> Result<Grant, TokenError> {
    if let Some(known) = known_grant(app, token, instant) {
        return known;
    }
    if !token.starts_with(API_PREFIX) {
        let claims = app.verifier.verify_patiently(token, app.clock.now()).await?;
        return Grant::of_claims(app, claims);
    }
    let secret = ApiSecret::parse(token).ok_or(TokenError(ErrorCode::TokenMalformed))?;
    let held = app.api_tokens.find(&*app.store, &secret, app.clock.now(), instant).await?;
    Ok(Grant::of_api_token(&held.0))
}

/// Whether what somebody came in with is still good.
///
/// # Errors
/// As [`grant`].
pub(crate) async fn still_good(
    app: &App,
    credential: &Credential,
    instant: Instant,
) -> Result<(), TokenError> {
    match credential {
        Credential::Token { id, sign_in } if app.revocations.include(sign_in.as_deref(), id.as_deref()) => {
            Err(TokenError(ErrorCode::TokenRevoked))
        }
        Credential::Token { .. } => Ok(()),
        Credential::Api { id, .. } => app.api_tokens.still(&*app.store, *id, app.clock.now(), instant).await,
    }
}

/// A new API token: its id, its text, which is shown once, and what the store keeps of it.
pub fn new_api_token(clock: &dyn Clock) -> (Uuid, String, SecretHash) {
    let secret = ApiSecret::new(clock);
    (secret.id, secret.text(), secret.hash())
}

/// The id in the text of an API token; `None` if it is none.
pub fn api_token_id(text: &str) -> Option<Uuid> {
    ApiSecret::parse(text).map(|secret| secret.id)
}

/// Whose token this is, now, sent from `address`.
///
/// # Errors
/// A `token_…` code or `keys_unavailable` if the token is refused, `user_unknown` or `user_inactive` if its user is, `storage_unavailable`
/// if the user cannot be read.
pub async fn authenticate(app: &App, token: &str, address: Option<IpAddr>) -> Result<Identity, TokenError> {
    let Grant { claims, credential } = grant(app, token, tokio::time::Instant::now().into_std()).await?;
    let user = app.store.user(&claims.user).await.map(|user| user.map(Arc::new));
    let user = user_of(app, &claims, user, address).await?;
    Ok(Identity { user: Arc::unwrap_or_clone(user), expires_at: claims.expires_at, credential })
}

/// The active user with this id, by what is known at `now`, or by the store.
///
/// # Errors
/// `user_unknown` or `user_inactive` if there is none, `storage_unavailable` if the user cannot be read.
pub(crate) async fn active_user(app: &App, id: &UserId, now: Instant) -> Result<Arc<User>, TokenError> {
    active(app.people.find_user(&*app.store, id, now).await)
}

fn active<T: Borrow<User>>(found: Result<Option<T>, Error>) -> Result<T, TokenError> {
    match found {
        Ok(Some(user)) if user.borrow().active => Ok(user),
        Ok(Some(_)) => Err(TokenError(ErrorCode::UserInactive)),
        Ok(None) => Err(TokenError(ErrorCode::UserUnknown)),
        Err(error) => {
            tracing::error!(%error, "the user of a token could not be read");
            Err(TokenError(ErrorCode::StorageUnavailable))
        }
    }
}
