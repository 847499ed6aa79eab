//! `healthmate token issue-api` and `healthmate token revoke`.

use std::io::Read;

use healthmate_care::{TokenScope, TokenScopes};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_server::auth;
use healthmate_storage::{ApiToken, Credentials, Error, Revocation, Revoked};
use serde::Serialize;
use uuid::Uuid;

use super::admin::{AdminArgs, by};
use super::block_on;
use super::failure::Failure;
use super::settings::{existing_signer, system_clock};
use super::span::Span;

/// Prints a new API token of `user`.
pub(crate) fn issue(
    user: &UserId,
    name: String,
    scopes: &[TokenScope],
    ttl: Option<Span>,
    common: &AdminArgs,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Issued<'a> {
        user: &'a UserId,
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        token: &'a str,
    }
    if !(1..=64).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Failure::usage("--name must be 1 to 64 characters, without control characters"));
    }
    if ttl.is_some_and(|ttl| ttl.seconds == 0) {
        return Err(Failure::usage("--ttl must be at least 1s"));
    }
    let store = common.store()?;
    let (clock, by) = (system_clock(), by());
    let (id, text, hash) = auth::new_api_token(clock.as_ref());
    let expires_at = ttl.map(|ttl| by.at.plus_millis(i64::from(ttl.seconds) * 1000));
    let token = ApiToken {
        id,
        user: user.clone(),
        name,
        scopes: scopes.iter().copied().collect::<TokenScopes>(),
        created_at: by.at,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let added = block_on(async { Ok(store.add_api_token(token, hash, by).await) })?;
    added.map_err(|error| match error {
        Error::NotFound(_) => Failure::failed(format!("there is no user {user}")),
        error => Failure::failed(error),
    })?;
    common.answer(&Issued { user, id: id.to_string(), expires_at, token: &text }, || text.clone())
}

/// Takes back a token: an API token, by its text or its id, or a JWT by its text.
pub(crate) fn revoke(token: &str, common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Taken<'a> {
        user: &'a UserId,
        id: &'a str,
    }
    let token = read(token)?;
    let user_and_id = match auth::api_token_id(&token).or_else(|| Uuid::try_parse(&token).ok()) {
        Some(id) => revoke_api(id, common)?,
        None => revoke_jwt(&token, common)?,
    };
    let (user, id) = &user_and_id;
    common.answer(&Taken { user, id }, || format!("revoked token {id} of {user}"))
}

/// What was given, or with `-` what stdin says.
pub(crate) fn read(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(auth::MAX_TOKEN_BYTES as u64 + 2)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
    Ok(text.trim().to_owned())
}

fn revoke_api(id: Uuid, common: &AdminArgs) -> Result<(UserId, String), Failure> {
    let store = common.store()?;
    block_on(async {
        let found = store.api_token(id).await.map_err(Failure::failed)?;
        let (token, _) = found.ok_or_else(|| Failure::failed(format!("there is no API token {id}")))?;
        match store.revoke_api_token(&token.user, id, by()).await {
            Err(Error::NotFound(_)) => Err(Failure::failed(format!("API token {id} was revoked before"))),
            revoked => revoked.map(|()| (token.user, id.to_string())).map_err(Failure::failed),
        }
    })
}

fn revoke_jwt(token: &str, common: &AdminArgs) -> Result<(UserId, String), Failure> {
    let settings = common.settings.load()?;
    let signer = existing_signer(&settings)?
        .ok_or_else(|| Failure::failed("there is no secret to check the token with"))?;
    let by = by();
    let claims = signer
        .verify(token, by.at)
        .map_err(|error| Failure::failed(format!("not a token that the server takes: {error}")))?;
    let id = claims.id.ok_or_else(|| {
        Failure::failed("the token has no `jti`, so it cannot be told from others: disable its user instead")
    })?;
    let until = claims.expires_at.plus_millis(i64::from(settings.auth.leeway_s) * 1000);
    let revocation = Revocation { what: Revoked::Token(id.to_string()), until };
    let store = common.store()?;
    block_on(async { store.revoke_token(&claims.user, revocation, by).await.map_err(Failure::failed) })?;
    Ok((claims.user, id.into()))
}
