//! `[auth]`: whose tokens are good.

use serde::{Deserialize, Serialize};

use super::problem::Findings;
use super::secret::Secret;

/// The shortest secret for HS256, in bytes: as long as its digest (RFC 7518, 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// Whose tokens are good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// The secret that signs tokens with HS256: at least 32 bytes. Default: the file `jwt-secret` in
    /// `server.data`, made at the first start.
    pub jwt_secret: Option<Secret>,
    /// The `iss` that every token must have. Default: any, or none.
    pub issuer: Option<String>,
    /// What the `aud` of every token must name. Default: any, or none.
    pub audience: Option<String>,
    /// How far the clocks of issuer and server may differ, in seconds: 0 to 60. Default 5.
    pub leeway_s: u32,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self { jwt_secret: None, issuer: None, audience: None, leeway_s: 5 }
    }
}

impl AuthSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("auth.leeway_s", self.leeway_s, 0..=60, "seconds");
        if let Some(secret) = &self.jwt_secret
            && secret.expose().len() < MIN_SECRET_BYTES
        {
            found.add("auth.jwt_secret", format!("must be at least {MIN_SECRET_BYTES} bytes"));
        }
        for (key, value) in [("auth.issuer", &self.issuer), ("auth.audience", &self.audience)] {
            if value.as_ref().is_some_and(String::is_empty) {
                found.add(key, "must not be empty; leave it out to take any");
            }
        }
    }
}
