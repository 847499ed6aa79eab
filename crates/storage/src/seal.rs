//! Sealing what people wrote: names and free text are in no file as they were said.
//!
//! Each user has a [`DataKey`], and what is written of that user is sealed with it. Data keys are stored wrapped by a key
//! of the [`KeyRing`], which is kept apart from the database. So a copy of the database alone says nothing, a new ring key
//! costs a few bytes for each user and no rewriting of what is sealed, and a user's data is gone when the data key is.
//!
//! The cipher is XChaCha20-Poly1305: its nonces are long enough to be random. What is sealed opens only where it was put:
//! its associated data names owner, table, column, row and key.
//!
//! The columns that are sealed are listed in [`SealedColumn`], and nowhere else.

mod data_key;
mod file;
mod ring;
#[cfg(test)]
mod tests;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use healthmate_care::Clock;
use healthmate_protocol::UserId;
use zeroize::Zeroizing;

pub use data_key::DataKey;
pub use file::{KEY_RING_FILE, KeySource, KeySourceError};
pub use ring::{KeyId, KeyRing, RingError, WrappedKey};

/// The format of everything that is sealed: its first byte.
const FORMAT: u8 = 1;

const NONCE_BYTES: usize = 24;

/// The bytes of a key.
type Secret = Zeroizing<[u8; 32]>;

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident $table:literal $column:literal,)*) => {
        /// The columns that hold what people wrote: each is sealed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SealedColumn { $($(#[$doc])* $name,)* }

        impl SealedColumn {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its table.
            pub fn table(self) -> &'static str {
                match self { $(Self::$name => $table,)* }
            }

            /// Its name in the table.
            pub fn column(self) -> &'static str {
                match self { $(Self::$name => $column,)* }
            }
        }
    };
}

columns! {
    /// What people call a user. Row: the user's id. Owner: the user.
    UserName "user" "name",
    /// What measured, in words. Row: its key, 8 bytes, the highest first. Owner: the patient.
    DeviceName "device" "name",
    /// What a user was told: the JSON of the event's data, which the log leaves to this column. Row: its id. Owner: the user.
    NotificationText "notification" "text",
    /// Why a patient was opened in an emergency. Row: the access's id. Owner: the patient.
    BreakGlassReason "break_glass" "reason",
    /// What a client calls itself. Row: the sign-in's id, as text. Owner: its user.
    SignInLabel "sign_in" "label",
    /// What people call an API token. Row: its id, as text. Owner: its user.
    ApiTokenName "api_token" "name",
    /// What people call a passkey. Row: its credential id. Owner: its user.
    PasskeyName "passkey" "name",
}

/// Why something sealed does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ring has no such key.
    #[error("the key ring has no key {0}: it was replaced, or this program reads an old one")]
    NoRingKey(KeyId),
    /// The bytes were changed, belong to another place, or were sealed with another key.
    #[error("sealed bytes do not open: they were changed, moved, or sealed with another key")]
    Refused,
}

/// Random bytes that nobody can guess.
fn random<const N: usize>(clock: &dyn Clock) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    for part in bytes.chunks_mut(16) {
        let random = Zeroizing::new(clock.random());
        part.copy_from_slice(&random[..part.len()]);
    }
    bytes
}

/// Appends a fresh nonce, and `plain` encrypted, to `head`, which begins what is sealed.
#[expect(clippy::expect_used, reason = "it fails for more than 256 GiB")]
fn encrypt(key: &Secret, mut head: Vec<u8>, about: &[u8], plain: &[u8], clock: &dyn Clock) -> Vec<u8> {
    let nonce = random::<NONCE_BYTES>(clock);
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let payload = Payload { msg: plain, aad: about };
    let encrypted = cipher.encrypt(&XNonce::from(*nonce), payload).expect("little enough");
    head.extend_from_slice(&*nonce);
    head.extend_from_slice(&encrypted);
    head
}

/// The opposite of [`encrypt`], of what follows the head.
fn decrypt(key: &Secret, sealed: &[u8], about: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, encrypted) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Refused)?;
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let payload = Payload { msg: encrypted, aad: about };
    let plain = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Refused)?;
    Ok(Zeroizing::new(plain))
}

/// The associated data: what it is for, the parts with their lengths, and the version of the key. No two lists of parts
/// give the same bytes.
fn about(purpose: u8, parts: &[&[u8]], version: u32) -> Vec<u8> {
    let mut about = Vec::with_capacity(96);
    about.extend([FORMAT, purpose]);
    about.extend(version.to_be_bytes());
    for part in parts {
        about.extend((part.len() as u64).to_be_bytes());
        about.extend_from_slice(part);
    }
    about
}

/// What a key was used for: the same bytes are never good for two.
mod purpose {
    pub(super) const COLUMN: u8 = 1;
    pub(super) const DATA_KEY: u8 = 2;
    pub(super) const CHECK: u8 = 3;
}

fn owner_bytes(owner: &UserId) -> &[u8] {
    owner.as_str().as_bytes()
}
