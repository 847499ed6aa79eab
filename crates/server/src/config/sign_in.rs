//! `[sign_in]`: signing in with passwords, and the tokens that are given for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Findings;

/// Signing in with passwords, and the tokens that are given for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignInSettings {
    /// How long an access token is good, in seconds: 60 to 86400. Default 900.
    pub access_token_s: u32,
    /// How long a sign-in lasts, however often its refresh token is used, in days: 1 to 365. Default 30.
    pub refresh_token_days: u32,
    /// After how long without use of its refresh token a sign-in ends, in days: 1 to 365. Default 14.
    pub idle_days: u32,
    /// For how long a refresh token that was exchanged is taken once more, if the next one was not used yet, in seconds: 0
    /// to 300. The answer may have been lost. Default 30.
    pub refresh_grace_s: u32,
    /// How many wrong attempts an account has before each further one must wait, twice as long each time: 1 to 1000.
    /// Default 5.
    pub attempts_per_account: u32,
    /// The same for an address (for IPv6, its /64 block): 1 to 100000. Default 20.
    pub attempts_per_address: u32,
    /// The longest such wait, in seconds: 1 to 86400. Default 300.
    pub longest_wait_s: u32,
    /// How much memory hashing a password takes, in KiB: 8192 to 1048576. Default 19456, as OWASP has it.
    pub argon2_memory_kib: u32,
    /// How often it goes over the memory: 1 to 100. Default 2, as OWASP has it.
    pub argon2_passes: u32,
    /// How many lanes the memory has: 1 to 16. Default 1, as OWASP has it.
    pub argon2_lanes: u32,
    /// How many passwords are hashed at once, beside the shards: 1 to 64. Sixteen times as many may wait. Default 2.
    pub hashes_at_once: u32,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            access_token_s: 900,
            refresh_token_days: 30,
            idle_days: 14,
            refresh_grace_s: 30,
            attempts_per_account: 5,
            attempts_per_address: 20,
            longest_wait_s: 300,
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            argon2_lanes: 1,
            hashes_at_once: 2,
        }
    }
}

impl SignInSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("sign_in.access_token_s", self.access_token_s, 60..=86_400, "seconds");
        found.range("sign_in.refresh_token_days", self.refresh_token_days, 1..=365, "days");
        found.range("sign_in.idle_days", self.idle_days, 1..=365, "days");
        found.range("sign_in.refresh_grace_s", self.refresh_grace_s, 0..=300, "seconds");
        found.range("sign_in.attempts_per_account", self.attempts_per_account, 1..=1000, "");
        found.range("sign_in.attempts_per_address", self.attempts_per_address, 1..=100_000, "");
        found.range("sign_in.longest_wait_s", self.longest_wait_s, 1..=86_400, "seconds");
        found.range("sign_in.argon2_memory_kib", self.argon2_memory_kib, 8192..=1_048_576, "KiB");
        found.range("sign_in.argon2_passes", self.argon2_passes, 1..=100, "");
        found.range("sign_in.argon2_lanes", self.argon2_lanes, 1..=16, "");
        found.range("sign_in.hashes_at_once", self.hashes_at_once, 1..=64, "");
    }

    /// The longest wait between two attempts.
    pub(crate) fn longest_wait(&self) -> Duration {
        Duration::from_secs(self.longest_wait_s.into())
    }
}
