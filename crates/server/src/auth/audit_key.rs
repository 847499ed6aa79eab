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
    let secret = secret::load_or_create_file(&path, clock).map_err(damaged)?;
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
    let secret = secret::read(path.clone()).map_err(damaged)?;
    parse(path, secret.expose()).map(Some)
}

fn parse(path: PathBuf, text: &str) -> Result<CheckpointKey, SecretError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(|bytes| CheckpointKey::new(&bytes)).ok_or(SecretError::NoAuditKey(path))
}

/// A file too short for any secret holds no key either.
fn damaged(error: SecretError) -> SecretError {
    match error {
        SecretError::TooShort(path) => SecretError::NoAuditKey(path),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::ManualClock;

    use super::*;

    #[test]
    fn a_damaged_key_is_named_as_the_audit_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::default();
        folder.path().clone_into(&mut settings.server.data);
        let clock = ManualClock::new(healthmate_protocol::Timestamp::from_micros(0));
        load_or_create(&settings, &clock).expect("made");
        for text in ["short", &"x".repeat(40)] {
            std::fs::write(folder.path().join(FILE_NAME), text).expect("written");
            assert!(matches!(load_or_create(&settings, &clock), Err(SecretError::NoAuditKey(_))), "{text}");
            assert!(matches!(existing(&settings), Err(SecretError::NoAuditKey(_))), "{text}");
        }
    }
}
