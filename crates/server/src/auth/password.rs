//! Passwords: hashed with argon2id, beside the shards, a few at a time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use healthmate_care::Clock;
use tokio::sync::Semaphore;

use crate::config::SignInSettings;

/// The shortest password that can be set, in characters: as NIST SP 800-63B has it.
pub const MIN_CHARS: usize = 8;

/// The longest password, in characters.
pub const MAX_CHARS: usize = 128;

/// How many may wait for one that is hashed at once.
const QUEUE: usize = 16;

/// Too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more passwords wait to be checked than the server takes: come back after a moment")]
pub struct Busy;

/// Why a password cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// It is too short or too long.
    #[error("must be {MIN_CHARS} to {MAX_CHARS} characters")]
    Length,
    /// It is one that everybody tries first.
    #[error("is one of the commonest passwords: choose another one")]
    Common,
    /// It is the user's own name, or holds it.
    #[error("must not hold the user's id")]
    Name,
}

/// The commonest passwords of eight characters or more, in lower case, one a line.
const COMMON: &str = include_str!("common-passwords.txt");

/// Says whether a user can have this password.
///
/// # Errors
/// If not, with why.
pub fn check(password: &str, user: &str) -> Result<(), WeakPassword> {
    if !(MIN_CHARS..=MAX_CHARS).contains(&password.chars().count()) {
        return Err(WeakPassword::Length);
    }
    let lower = password.to_lowercase();
    // Names of three letters are in many words.
    if lower == user.to_lowercase() || (user.len() >= 4 && lower.contains(&user.to_lowercase())) {
        return Err(WeakPassword::Name);
    }
    let first = lower.chars().next();
    if COMMON.lines().any(|common| common == lower) || lower.chars().all(|char| Some(char) == first) {
        return Err(WeakPassword::Common);
    }
    Ok(())
}

/// Hashes passwords, and compares them with hashes.
pub struct Passwords {
    work: Arc<Work>,
    /// Places for those who wait, and for those who are served.
    waiting: Semaphore,
    serving: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

struct Work {
    argon2: Argon2<'static>,
    /// Costs what a real one costs, and no password has it.
    nobodys: String,
    /// How often a password was hashed.
    count: AtomicU64,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({} hashed)", self.count())
    }
}

impl Passwords {
    /// Hashes as `settings` say.
    pub fn new(settings: &SignInSettings, clock: Arc<dyn Clock>) -> Self {
        let (memory, passes, lanes) =
            (settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes);
        // What is no parameter of argon2 was refused with the settings.
        let params = Params::new(memory, passes, lanes, None).unwrap_or_default();
        let cost = format!("m={},t={},p={}", params.m_cost(), params.t_cost(), params.p_cost());
        let nobodys = format!("$argon2id$v=19${cost}${}${}", "A".repeat(22), "A".repeat(43));
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let at_once = settings.hashes_at_once as usize;
        Self {
            work: Arc::new(Work { argon2, nobodys, count: AtomicU64::new(0) }),
            waiting: Semaphore::new(at_once * QUEUE),
            serving: Arc::new(Semaphore::new(at_once)),
            clock,
        }
    }

    /// How often a password was hashed: once for every question, whatever the answer.
    pub fn count(&self) -> u64 {
        self.work.count.load(Ordering::Relaxed)
    }

    /// Keeps everybody waiting until it is dropped.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> tokio::sync::SemaphorePermit<'_> {
        let all = self.serving.available_permits() as u32;
        self.serving.acquire_many(all).await.expect("open")
    }

    /// The hash of a new password, with its salt and parameters.
    ///
    /// # Errors
    /// If too many wait.
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        let salt = self.clock.random();
        self.run(move |work| work.hash(&password, &salt)).await
    }

    /// Whether `hash` is that of `password`. Without a hash, the answer is no, after the same work.
    ///
    /// # Errors
    /// If too many wait.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Busy> {
        self.run(move |work| work.verify(&password, hash.as_deref())).await
    }

    /// Whether `hash` was made as passwords are hashed now.
    pub fn is_current(&self, hash: &str) -> bool {
        let params = PasswordHash::new(hash).and_then(|hash| Params::try_from(&hash));
        params.is_ok_and(|params| {
            let own = self.work.argon2.params();
            let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
            cost(&params) == cost(own)
        })
    }

    /// On a thread of its own: a shard must not stand still. Who has left meanwhile still has their place until it is done,
    /// so that nobody can have more done by leaving.
    async fn run<T: Send + Default + 'static>(
        &self,
        work: impl FnOnce(&Work) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Busy)?;
        let serving = Arc::clone(&self.serving).acquire_owned().await.map_err(|_| Busy)?;
        let own = Arc::clone(&self.work);
        let worked = tokio::task::spawn_blocking(move || {
            let done = work(&own);
            drop(serving);
            done
        });
        worked.await.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            Busy
        })
    }
}

impl Work {
    fn hash(&self, password: &str, salt: &[u8; 16]) -> String {
        self.count.fetch_add(1, Ordering::Relaxed);
        let salt = SaltString::encode_b64(salt);
        let hash =
            salt.and_then(|salt| Ok(self.argon2.hash_password(password.as_bytes(), &salt)?.to_string()));
        // Neither a salt of 16 bytes nor a password of any length is refused; an empty hash is that of no password.
        hash.unwrap_or_default()
    }

    fn verify(&self, password: &str, hash: Option<&str>) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let parsed = PasswordHash::new(hash.unwrap_or(&self.nobodys));
        let same = parsed.is_ok_and(|hash| self.argon2.verify_password(password.as_bytes(), &hash).is_ok());
        same && hash.is_some()
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::SystemClock;

    use super::*;

    fn passwords(settings: &SignInSettings) -> Passwords {
        Passwords::new(settings, Arc::new(SystemClock::default()))
    }

    fn cheap() -> SignInSettings {
        SignInSettings { argon2_memory_kib: 8192, argon2_passes: 1, ..SignInSettings::default() }
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_no_other_is() {
        let passwords = passwords(&cheap());
        let hash = passwords.hash("correct horse".to_owned()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=8192,t=1,p=1$"), "{hash}");
        assert_ne!(passwords.hash("correct horse".to_owned()).await.expect("hashed"), hash, "salted");
        for (password, same) in
            [("correct horse", true), ("Correct horse", false), ("correct horse\0", false), ("", false)]
        {
            let verified = passwords.verify(password.to_owned(), Some(hash.clone())).await;
            assert_eq!(verified, Ok(same), "{password:?}");
        }
        assert!(passwords.is_current(&hash) && !passwords.is_current(&hash.replace("t=1", "t=2")));
    }

    /// The same work is done where there is no hash, and where it is not one of ours.
    #[tokio::test]
    async fn what_has_no_hash_costs_as_much() {
        let passwords = passwords(&cheap());
        assert!(PasswordHash::new(&passwords.work.nobodys).is_ok(), "{}", passwords.work.nobodys);
        assert!(passwords.is_current(&passwords.work.nobodys));
        assert_eq!(passwords.verify("anything".to_owned(), None).await, Ok(false));
        assert_eq!(passwords.count(), 1);
        assert_eq!(passwords.verify("anything".to_owned(), Some(String::new())).await, Ok(false));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away() {
        let settings = SignInSettings { hashes_at_once: 1, ..cheap() };
        let passwords = passwords(&settings);
        let _held = passwords.serving.acquire().await.expect("open");
        let mut waiting: Vec<_> =
            (0..QUEUE).map(|_| Box::pin(passwords.verify("password".to_owned(), None))).collect();
        for asked in &mut waiting {
            assert!(futures_util::poll!(asked).is_pending());
        }
        assert_eq!(passwords.verify("password".to_owned(), None).await, Err(Busy));
        waiting.pop();
        let again = Box::pin(passwords.verify("password".to_owned(), None));
        assert!(futures_util::poll!(again).is_pending(), "a place is free again");
    }

    #[test]
    fn short_long_common_and_own_names_are_refused() {
        let table = [
            ("seven77", Err(WeakPassword::Length)),
            ("eight888", Ok(())),
            ("ééééééé", Err(WeakPassword::Length)),
            ("Password1", Err(WeakPassword::Common)),
            ("12345678", Err(WeakPassword::Common)),
            ("zzzzzzzzzz", Err(WeakPassword::Common)),
            ("patient-1", Err(WeakPassword::Name)),
            ("I am Patient-1!", Err(WeakPassword::Name)),
            ("correct horse battery", Ok(())),
        ];
        for (password, expected) in table {
            assert_eq!(check(password, "patient-1"), expected, "{password}");
        }
        assert_eq!(check(&"xy".repeat(64), "p"), Ok(()));
        assert_eq!(check(&"xyz".repeat(43), "p"), Err(WeakPassword::Length));
    }
}
