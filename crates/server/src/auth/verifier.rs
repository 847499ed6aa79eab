//! Which issuer's a token is, and whether it is good.

use std::fmt;
use std::sync::Arc;

use healthmate_protocol::{ErrorCode, Timestamp, UserId};

use super::claims::{Claims, TokenNames};
use super::issuer::jwks::Jwks;
use super::issuer::{Issuer, IssuerError};
use super::own::OwnIssuer;
use super::token::{TokenError, Unverified};
use crate::config::{AuthSettings, Secret};

/// Says whether tokens are good, and makes those of our own.
pub struct TokenVerifier {
    own: OwnIssuer,
    issuers: Vec<Issuer>,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenVerifier(redacted)")
    }
}

/// Who is asked whether a token is good.
enum Judge<'a> {
    Own(&'a OwnIssuer),
    Elsewhere(&'a Issuer),
}

impl TokenVerifier {
    /// Takes tokens that are signed with `secret` and are as `settings` ask, from nobody else: `auth.issuers` is for
    /// [`TokenVerifier::with_issuers`].
    pub fn new(settings: &AuthSettings, secret: &Secret) -> Self {
        Self { own: OwnIssuer::new(settings, secret), issuers: Vec::new() }
    }

    /// The same, and those of `auth.issuers`. Published keys are not fetched yet.
    ///
    /// # Errors
    /// If the keys of one cannot be read.
    pub fn with_issuers(settings: &AuthSettings, secret: &Secret) -> Result<Self, IssuerError> {
        let issuers = settings.issuers.iter().map(|issuer| Issuer::new(issuer, settings));
        Ok(Self { issuers: issuers.collect::<Result<_, _>>()?, ..Self::new(settings, secret) })
    }

    /// Whose token this is, if it is good at `now`. It waits for nothing.
    ///
    /// # Errors
    /// With the `token_…` code that says why not. Nothing the token claims is believed before its signature was found
    /// good. `token_key` and `keys_unavailable` may not be the last word: see [`TokenVerifier::verify_patiently`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let token = Unverified::parse(token)?;
        match self.judge(&token)? {
            Judge::Own(own) => own.verify(&token, now),
            Judge::Elsewhere(issuer) => issuer.verify(&token, now),
        }
    }

    /// The same; where the token names a key that is not known, its issuer's keys are fetched once more before it is
    /// refused.
    ///
    /// # Errors
    /// As [`TokenVerifier::verify`].
    pub async fn verify_patiently(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let verdict = self.verify(token, now);
        if !verdict.as_ref().is_err_and(|error| error.may_pass_with_fresh_keys()) {
            return verdict;
        }
        if let Judge::Elsewhere(issuer) = self.judge(&Unverified::parse(token)?)?
            && let Some(jwks) = issuer.published()
        {
            jwks.look_again().await;
            return self.verify(token, now);
        }
        verdict
    }

    /// The name of the issuer that is asked about this token; `None` for the server itself.
    ///
    /// # Errors
    /// If the token is none, or its `iss` is nobody's.
    pub fn issuer_of(&self, token: &str) -> Result<Option<&str>, TokenError> {
        Ok(match self.judge(&Unverified::parse(token)?)? {
            Judge::Own(_) => None,
            Judge::Elsewhere(issuer) => Some(issuer.name()),
        })
    }

    /// Fetches the published keys of every issuer once, for those who do not run a server.
    pub async fn fetch_keys(&self) {
        for jwks in self.published() {
            jwks.fetch().await;
        }
    }

    /// What publishes keys.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Arc<Jwks>> {
        self.issuers.iter().filter_map(Issuer::published)
    }

    /// Whose it is, by its `iss`. Where there is but one issuer, that one is asked without a look at the claims.
    fn judge(&self, token: &Unverified<'_>) -> Result<Judge<'_>, TokenError> {
        if self.issuers.is_empty() {
            return Ok(Judge::Own(&self.own));
        }
        let iss = token.iss()?;
        match iss.as_deref() {
            Some(iss) => match self.issuers.iter().find(|issuer| issuer.issues(iss)) {
                Some(issuer) => Ok(Judge::Elsewhere(issuer)),
                None if self.own.issues(iss) => Ok(Judge::Own(&self.own)),
                None => Err(TokenError(ErrorCode::TokenIssuer)),
            },
            None => Ok(Judge::Own(&self.own)),
        }
    }

    /// A token for `user` that this verifier takes from `now` on, for `ttl_s` seconds.
    pub fn issue(&self, user: &UserId, ttl_s: u32, now: Timestamp) -> String {
        self.issue_named(user, TokenNames::default(), ttl_s, now)
    }

    /// The same, with names of its own: of itself, and of the sign-in it belongs to.
    pub fn issue_named(&self, user: &UserId, names: TokenNames, ttl_s: u32, now: Timestamp) -> String {
        self.own.issue(user, names, ttl_s, now)
    }
}

#[cfg(test)]
mod tests;
