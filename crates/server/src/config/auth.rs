//! `[auth]`: whose tokens are good.

use serde::{Deserialize, Serialize};

use super::issuers::{self, IssuerSettings};
use super::passkeys::PasskeySettings;
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
    /// The `iss` that every token of the server's own must have. Default: any, or none; with `issuers`, none.
    pub issuer: Option<String>,
    /// What the `aud` of every token of the server's own must name. Default: any, or none.
    pub audience: Option<String>,
    /// How far the clocks of issuer and server may differ, in seconds: 0 to 60. Default 5.
    pub leeway_s: u32,
    /// How long before its token ends a connection is told so, in seconds: 0 to 3600, 0 for not at all. Default 60.
    pub warn_before_s: u32,
    /// How long after the end of its token a connection stays open for a fresh one, in seconds: 0 to 600. Default 25.
    pub expiry_grace_s: u32,
    /// How often the keys behind each `jwks_url` are fetched, in seconds: 10 to 86400. Default 300.
    pub jwks_refresh_s: u32,
    /// How soon they are fetched again because a token names an unknown key, in seconds: 1 to 3600. Default 10.
    pub jwks_min_interval_s: u32,
    /// How long fetching them may take, in seconds: 1 to 60. Default 5.
    pub jwks_timeout_s: u32,
    /// How much of an answer is read, in bytes: 1024 to 4194304. Default 262144.
    pub jwks_max_bytes: u32,
    /// How many keys one issuer may publish: 1 to 1000. Default 64.
    pub jwks_max_keys: u32,
    /// Who else's tokens are good: at most 32. Default nobody's.
    pub issuers: Vec<IssuerSettings>,
    /// Signing in with passkeys.
    pub passkeys: PasskeySettings,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            issuer: None,
            audience: None,
            leeway_s: 5,
            warn_before_s: 60,
            expiry_grace_s: 25,
            jwks_refresh_s: 300,
            jwks_min_interval_s: 10,
            jwks_timeout_s: 5,
            jwks_max_bytes: 262_144,
            jwks_max_keys: 64,
            issuers: Vec::new(),
            passkeys: PasskeySettings::default(),
        }
    }
}

impl AuthSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("auth.leeway_s", self.leeway_s, 0..=60, "seconds");
        found.range("auth.warn_before_s", self.warn_before_s, 0..=3600, "seconds");
        found.range("auth.expiry_grace_s", self.expiry_grace_s, 0..=600, "seconds");
        found.range("auth.jwks_refresh_s", self.jwks_refresh_s, 10..=86_400, "seconds");
        found.range("auth.jwks_min_interval_s", self.jwks_min_interval_s, 1..=3600, "seconds");
        found.range("auth.jwks_timeout_s", self.jwks_timeout_s, 1..=60, "seconds");
        found.range("auth.jwks_max_bytes", self.jwks_max_bytes, 1024..=4 << 20, "bytes");
        found.range("auth.jwks_max_keys", self.jwks_max_keys, 1..=1000, "");
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
        issuers::check(&self.issuers, self.issuer.as_deref(), found);
    }
}
