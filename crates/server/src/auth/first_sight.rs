//! Users whom a token from elsewhere shows for the first time, or in another role.

use std::net::IpAddr;
use std::sync::Arc;

use healthmate_care::{By, Role, User};
use healthmate_protocol::ErrorCode;
use healthmate_storage::Error;

use super::claims::Claims;
use super::issuer::Elsewhere;
use super::{TokenError, active};
use crate::app::App;

/// The active user of these claims: `found`, if the token of an issuer from elsewhere does not say otherwise.
///
/// # Errors
/// `user_unknown` if there is none and the issuer's setting does not create any, `token_role` if the token may not give
/// the role it names, or the user keeps another one, `user_inactive`, or `storage_unavailable`.
pub(crate) async fn user_of(
    app: &App,
    claims: &Claims,
    found: Result<Option<Arc<User>>, Error>,
    address: Option<IpAddr>,
) -> Result<Arc<User>, TokenError> {
    let Some(elsewhere) = claims.elsewhere.as_deref() else { return active(found) };
    let user = match found {
        Ok(None) => create(app, claims, elsewhere, address).await?,
        found => active(found)?,
    };
    match elsewhere.role {
        Some(role) if role != user.role => change_role(app, &user, role, elsewhere, address).await,
        _ => Ok(user),
    }
}

/// Stores the role that the token gives instead of another one, if its issuer may give both: who cannot make an
/// administrator cannot unmake one either. What patients and devices are stays.
async fn change_role(
    app: &App,
    user: &User,
    role: Role,
    elsewhere: &Elsewhere,
    address: Option<IpAddr>,
) -> Result<Arc<User>, TokenError> {
    // What is known of the user may be a moment old: a change is stored and recorded once.
    let stored = active(app.store.user(&user.id).await)?;
    if stored.role == role {
        return Ok(Arc::new(stored));
    }
    if !elsewhere.may_grant(role) || !elsewhere.may_grant(stored.role) {
        return Err(TokenError(ErrorCode::TokenRole));
    }
    let by = By { address, ..By::server(app.clock.now()) };
    match app.store.set_role(&user.id, role, by).await {
        Ok(()) => {
            tracing::info!(issuer = &*elsewhere.issuer, %role, "the role of a user was changed by a token");
            Ok(Arc::new(User { role, ..stored }))
        }
        Err(Error::RoleStays(_)) => Err(TokenError(ErrorCode::TokenRole)),
        Err(Error::NotFound(_)) => Err(TokenError(ErrorCode::UserUnknown)),
        Err(error) => {
            tracing::error!(%error, "the role of a user could not be changed");
            Err(TokenError(ErrorCode::StorageUnavailable))
        }
    }
}

/// Adds the user, unless somebody was quicker. It is the server that does it, because its settings say so: the holder
/// of the token is nobody here yet, and what the token proves is who they are elsewhere.
async fn create(
    app: &App,
    claims: &Claims,
    elsewhere: &Elsewhere,
    address: Option<IpAddr>,
) -> Result<Arc<User>, TokenError> {
    let role = elsewhere.first_role.ok_or(TokenError(ErrorCode::UserUnknown))?;
    if !elsewhere.may_grant(role) || role == Role::Device {
        return Err(TokenError(ErrorCode::TokenRole));
    }
    let name = elsewhere.called.clone().unwrap_or_else(|| claims.user.to_string());
    let user = User { id: claims.user.clone(), role, name, device_of: None, active: true };
    let by = By { address, ..By::server(app.clock.now()) };
    match app.store.add_user(user.clone(), by).await {
        Ok(()) => {
            tracing::info!(issuer = &*elsewhere.issuer, %role, "a user was added at first sight");
            Ok(Arc::new(user))
        }
        Err(Error::Exists(_)) => active(app.store.user(&claims.user).await.map(|user| user.map(Arc::new))),
        Err(error) => {
            tracing::error!(%error, "a user could not be added at first sight");
            Err(TokenError(ErrorCode::StorageUnavailable))
        }
    }
}

#[cfg(test)]
mod tests;
