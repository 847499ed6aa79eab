//! `[audit]`: how the audit trail is kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Findings;

/// How the audit trail is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// The file of the key that signs checkpoints: 32 bytes in base64url, readable by its owner only. It is made if it is
    /// missing. By default `audit-key` in `server.data`.
    pub key_file: Option<PathBuf>,
    /// After how many records a checkpoint is signed: 1 to 1,000,000. Default 1000.
    pub checkpoint_records: u32,
    /// After how many minutes a checkpoint is signed, if there was a record since the last: 1 to 1440. Default 10.
    pub checkpoint_minutes: u32,
    /// How many refusals of one user, or of one address while nobody is signed in, are recorded a minute: 1 to 10,000.
    /// Those past it are counted. Default 30.
    pub refusals_per_minute_each: u32,
    /// How many refusals of all together are recorded a minute: 1 to 100,000. Those past it are counted. Default 300.
    pub refusals_per_minute: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            key_file: None,
            checkpoint_records: 1000,
            checkpoint_minutes: 10,
            refusals_per_minute_each: 30,
            refusals_per_minute: 300,
        }
    }
}

impl AuditSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("audit.checkpoint_records", self.checkpoint_records, 1..=1_000_000, "records");
        found.range("audit.checkpoint_minutes", self.checkpoint_minutes, 1..=1440, "minutes");
        found.range("audit.refusals_per_minute_each", self.refusals_per_minute_each, 1..=10_000, "");
        found.range("audit.refusals_per_minute", self.refusals_per_minute, 1..=100_000, "");
    }
}
