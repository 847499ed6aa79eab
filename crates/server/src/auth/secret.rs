//! The secret that signs tokens: from the settings, or a file in the data folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_care::Clock;

use crate::config::{MIN_SECRET_BYTES, Secret, Settings};

/// The name of the file in the data folder.
pub const FILE_NAME: &str = "jwt-secret";

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or made.
    #[error("the secret {path} cannot be {done}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `made`.
        done: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Others than its owner may read or change the file.
    #[error(
        "the secret {path} has mode {mode:03o}, must be 600 or less: run chmod 600 on it, and make a new one if others read it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds too little.
    #[error(
        "the secret {0} must be at least {MIN_SECRET_BYTES} bytes: remove it to have a new one made, which ends all tokens"
    )]
    TooShort(PathBuf),
    /// The file of the audit trail's key holds none.
    #[error(
        "the audit key {0} holds no key: put it back from a backup, or move it away to have a new one made, and keep the old public key for `healthmate audit verify`"
    )]
    NoAuditKey(PathBuf),
}

/// The secret of the settings, or of the file [`FILE_NAME`] in `server.data`. The file is made if it is missing,
/// with 32 random bytes that only its owner may read.
///
/// # Errors
/// If the file cannot be read or made, others may read it, or it is too short.
pub fn load_or_create(settings: &Settings, clock: &dyn Clock) -> Result<Secret, SecretError> {
    if let Some(secret) = &settings.auth.jwt_secret {
        return Ok(secret.clone());
    }
    load_or_create_file(&settings.server.data.join(FILE_NAME), clock)
}

/// The secret in this file, which is made if it is missing.
pub(super) fn load_or_create_file(path: &Path, clock: &dyn Clock) -> Result<Secret, SecretError> {
    if !path.exists() {
        let failed = |error| SecretError::Io { path: path.to_owned(), done: "made", error };
        create(path, clock).map_err(failed)?;
    }
    read(path.to_owned())
}

pub(super) fn read(path: PathBuf) -> Result<Secret, SecretError> {
    let read = || Ok((fs::metadata(&path)?.mode() & 0o777, fs::read_to_string(&path)?));
    let (mode, text) = read().map_err(|error| SecretError::Io { path: path.clone(), done: "read", error })?;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path, mode });
    }
    let text = text.trim();
    if text.len() < MIN_SECRET_BYTES {
        return Err(SecretError::TooShort(path));
    }
    Ok(Secret::new(text))
}

/// Written whole beside its place and then linked there: it is never seen half-written, and of two processes that
/// make one at the same time, both go on with the first.
fn create(path: &Path, clock: &dyn Clock) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{FILE_NAME}-{}", clock.uuid()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let text = URL_SAFE_NO_PAD.encode([clock.random(), clock.random()].concat());
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs::remove_file(&draft)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use healthmate_care::SystemClock;

    use super::*;

    fn settings(data: &Path) -> Settings {
        let mut settings = Settings::default();
        settings.server.data = data.join("data");
        settings
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn a_secret_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        let clock = SystemClock::default();
        let made = load_or_create(&settings, &clock).expect("made");
        assert_eq!(made.expose().len(), 43, "32 bytes in base64url");
        assert_eq!(load_or_create(&settings, &clock).expect("read"), made);
        let path = settings.server.data.join(FILE_NAME);
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&settings.server.data).expect("listed").count(), 1, "no draft is left");
        fs::remove_file(&path).expect("removed");
        assert_ne!(load_or_create(&settings, &clock).expect("made anew"), made);
    }

    #[test]
    fn of_two_that_make_one_both_get_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE_NAME);
        let clock = SystemClock::default();
        create(&path, &clock).expect("made");
        let first = read(path.clone()).expect("read");
        create(&path, &clock).expect("no error");
        assert_eq!(read(path).expect("read"), first);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        load_or_create(&settings, &SystemClock::default()).expect("made");
        let path = settings.server.data.join(FILE_NAME);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            set_mode(&path, mode);
            let error = load_or_create(&settings, &SystemClock::default()).expect_err("refused");
            assert!(error.to_string().contains(&format!("has mode {mode:03o}")), "{error}");
        }
        set_mode(&path, 0o400);
        assert!(load_or_create(&settings, &SystemClock::default()).is_ok());
    }

    #[test]
    fn a_short_secret_is_refused_and_the_setting_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(folder.path());
        fs::create_dir_all(&settings.server.data).expect("made");
        let path = settings.server.data.join(FILE_NAME);
        fs::write(&path, "x".repeat(31)).expect("written");
        set_mode(&path, 0o600);
        let refused = load_or_create(&settings, &SystemClock::default());
        assert!(matches!(refused, Err(SecretError::TooShort(_))));
        let own = Secret::new("y".repeat(32));
        settings.auth.jwt_secret = Some(own.clone());
        assert_eq!(load_or_create(&settings, &SystemClock::default()).expect("taken"), own);
    }
}
