//! Which issuer's a token is, and whether it is good.

use std::fmt;

use healthmate_protocol::{Timestamp, UserId};

use super::claims::{Claims, TokenNames};
use super::own::OwnIssuer;
use super::token::{TokenError, Unverified};
use crate::config::{AuthSettings, Secret};

/// Says whether tokens are good, and makes those of our own.
pub struct TokenVerifier {
    own: OwnIssuer,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenVerifier(redacted)")
    }
}

impl TokenVerifier {
    /// Takes tokens that are signed with `secret` and are as `settings` ask.
    pub fn new(settings: &AuthSettings, secret: &Secret) -> Self {
        Self { own: OwnIssuer::new(settings, secret) }
    }

    /// Whose token this is, if it is good at `now`. It waits for nothing.
    ///
    /// # Errors
    /// With the `token_…` code that says why not. Nothing the token claims is believed before its signature was found
    /// good.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        self.own.verify(&Unverified::parse(token)?, now)
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
