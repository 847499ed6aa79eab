//! Where the key ring is kept: a file that only its owner may read, or a setting.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use healthmate_care::Clock;
use zeroize::Zeroizing;

use super::{KeyRing, RingError};

/// The name of the file in the data folder, unless the settings name another.
pub const KEY_RING_FILE: &str = "key-ring";

/// Where the key ring is.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In this file, which may be written.
    File(PathBuf),
    /// It is this text, which only whoever started the program can change.
    Text(Zeroizing<String>),
}

/// The text is secret.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySource({self})")
    }
}

/// For people: where, and no key.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the key ring {}", path.display()),
            Self::Text(_) => f.write_str("the key ring of HEALTHMATE_STORAGE__KEYS"),
        }
    }
}

/// Why there is no key ring. Each is a sentence for the person who starts the server.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The file cannot be read or written.
    #[error("{ring} cannot be {done}: {error}")]
    Io {
        /// Which.
        ring: KeySource,
        /// `read` or `written`.
        done: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Others than its owner may read or change the file.
    #[error(
        "{ring} has mode {mode:03o}, must be 600 or less: run chmod 600 on it, and `healthmate keys rotate` if others read it"
    )]
    Exposed {
        /// Which.
        ring: KeySource,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is no ring.
    #[error("{ring} cannot be used: {error}; restore it from its backup")]
    Broken {
        /// Which.
        ring: KeySource,
        /// What is wrong with it.
        error: RingError,
    },
    /// A setting cannot be changed by the program.
    #[error(
        "the key ring is in HEALTHMATE_STORAGE__KEYS, which this program cannot change: add or remove the key there, and \
         start the server again"
    )]
    Fixed,
}

impl KeySource {
    /// The ring; `None` if the file is not there.
    ///
    /// # Errors
    /// If it cannot be read, others may read it, or it is no ring.
    pub fn read(&self) -> Result<Option<KeyRing>, KeySourceError> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => match self.read_file(path) {
                Ok(text) => text,
                Err(KeySourceError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        let broken = |error| KeySourceError::Broken { ring: self.clone(), error };
        KeyRing::parse(&text).map(Some).map_err(broken)
    }

    fn read_file(&self, path: &Path) -> Result<Zeroizing<String>, KeySourceError> {
        let read = || Ok((fs::metadata(path)?.mode() & 0o777, Zeroizing::new(fs::read_to_string(path)?)));
        let (mode, text) = read().map_err(|error| self.io("read", error))?;
        match mode & 0o077 {
            0 => Ok(text),
            _ => Err(KeySourceError::Exposed { ring: self.clone(), mode }),
        }
    }

    /// Makes the file, with a new ring, where there is none; of two processes that do at the same time, both get the ring
    /// of the first.
    ///
    /// # Errors
    /// If it cannot be written, or what is there cannot be used; [`KeySourceError::Fixed`] if it is no file.
    pub fn create(&self, clock: &dyn Clock) -> Result<KeyRing, KeySourceError> {
        let path = self.path()?;
        let link = |draft: &Path| match fs::hard_link(draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        };
        let placed = place(path, &KeyRing::new(clock), clock, link);
        placed.map_err(|error| self.io("written", error))?;
        let vanished = || self.io("read", io::ErrorKind::NotFound.into());
        self.read()?.ok_or_else(vanished)
    }

    /// Replaces the ring in the file: after a crash it is the old one or this one.
    ///
    /// # Errors
    /// If it cannot be written; [`KeySourceError::Fixed`] if it is no file.
    pub fn replace(&self, ring: &KeyRing, clock: &dyn Clock) -> Result<(), KeySourceError> {
        let path = self.path()?;
        let placed = place(path, ring, clock, |draft| fs::rename(draft, path));
        placed.map_err(|error| self.io("written", error))
    }

    fn path(&self) -> Result<&Path, KeySourceError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Text(_) => Err(KeySourceError::Fixed),
        }
    }

    fn io(&self, done: &'static str, error: io::Error) -> KeySourceError {
        KeySourceError::Io { ring: self.clone(), done, error }
    }
}

/// Written whole beside its place and then put there, so that nobody sees it half-written; on disk when it returns.
fn place(
    path: &Path,
    ring: &KeyRing,
    clock: &dyn Clock,
    put: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{KEY_RING_FILE}-{}", clock.uuid()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(ring.to_text().as_bytes()).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| put(&draft));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    placed?;
    File::open(folder)?.sync_all()
}
