//! `[storage]`: what is kept, and how it is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Findings;
use super::secret::Secret;

/// What is kept, and how it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSettings {
    /// How long events stay in the log for clients that come back, in days: 1 to 3650. Measurements stay. Default 30.
    pub log_retention_days: u32,
    /// How long the answer to an `Idempotency-Key` is kept, in hours: 1 to 720. Default 24.
    pub idempotency_hours: u32,
    /// How many measurements one transaction takes at most: 1 to 65536. Default 4096.
    pub max_group: u32,
    /// The file with the keys of data at rest. Default: the file `key-ring` in `server.data`, made with the database.
    pub key_ring: Option<PathBuf>,
    /// The keys themselves, instead of a file: the lines of a key ring, with `;` between. Default: none.
    pub keys: Option<Secret>,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { log_retention_days: 30, idempotency_hours: 24, max_group: 4096, key_ring: None, keys: None }
    }
}

impl StorageSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("storage.log_retention_days", self.log_retention_days, 1..=3650, "days");
        found.range("storage.idempotency_hours", self.idempotency_hours, 1..=720, "hours");
        found.range("storage.max_group", self.max_group, 1..=65_536, "");
    }
}
