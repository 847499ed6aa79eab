//! The key that signs checkpoints of the audit trail: a file in the data folder, or where the settings say.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_care::Clock;
use healthmate_care::audit::CheckpointKey;

use super::secret::{self, SecretError};
use crate::config::Settings;

/// The name of the file in the data folder.
pub const FILE_NAME: &str = "audit-key";

fn path(settings: &Settings) -> PathBuf {
    settings.audit.key_file.clone().unwrap_or_else(|| settings.server.data.join(FILE_NAME))
}

/// The key; it is made if there is none, and only its owner may read its file.
///
/// # Errors
/// If the file cannot be read or made, others may read it, or it holds no key.
pub fn load_or_create(settings: &Settings, clock: &dyn Clock) -> Result<CheckpointKey, SecretError> {
    let path = path(settings);
    let secret = secret::load_or_create_file(&path, clock)?;
    parse(path, secret.expose())
}

/// The key, if there is one; makes none.
///
/// # Errors
/// If the file cannot be read, others may read it, or it holds no key.
pub fn existing(settings: &Settings) -> Result<Option<CheckpointKey>, SecretError> {
    let path = path(settings);
    if !path.exists() {
        return Ok(None);
    }
    let secret = secret::read(path.clone())?;
    parse(path, secret.expose()).map(Some)
}

fn parse(path: PathBuf, text: &str) -> Result<CheckpointKey, SecretError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(|bytes| CheckpointKey::new(&bytes)).ok_or(SecretError::TooShort(path))
}
