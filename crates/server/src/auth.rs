//! Who is calling: tokens, and what their users may do.
//!
//! [`TokenVerifier`] says whether a token is good and whose it is; [`authenticate`] also asks whether that user
//! exists and is active; [`access::may`] asks the policy of `care`. Tokens are never logged and never part of an
//! error.

use std::borrow::Borrow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use healthmate_care::User;
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::Error;

use crate::app::App;

pub mod access;
mod claims;
mod first_sight;
mod header;
mod issuer;
mod own;
pub mod secret;
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
}

/// Whose token this is, now, sent from `address`.
///
/// # Errors
/// A `token_…` code or `keys_unavailable` if the token is refused, `user_unknown` or `user_inactive` if its user is, `storage_unavailable`
/// if the user cannot be read.
pub async fn authenticate(app: &App, token: &str, address: Option<IpAddr>) -> Result<Identity, TokenError> {
    let now = app.clock.now();
    let claims = app.verifier.verify_patiently(token, now).await?;
    let user = app.store.user(&claims.user).await.map(|user| user.map(Arc::new));
    let user = user_of(app, &claims, user, address).await?;
    Ok(Identity { user: Arc::unwrap_or_clone(user), expires_at: claims.expires_at })
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
