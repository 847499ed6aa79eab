//! The key of one user's data.

use std::fmt;

use healthmate_care::Clock;
use healthmate_protocol::UserId;
use zeroize::Zeroizing;

use super::{FORMAT, SealError, SealedColumn, Secret, about, decrypt, encrypt, owner_bytes, purpose, random};

/// The format, then the version of the key.
const HEAD_BYTES: usize = 5;

/// The key that seals what is written of one user. It is stored wrapped ([`super::KeyRing::wrap`]), and without it nothing
/// that it sealed can be read. Its bytes are wiped from memory when it is dropped.
#[derive(Clone)]
pub struct DataKey {
    version: u32,
    pub(super) secret: Secret,
}

impl DataKey {
    /// A new key. `version` tells the keys of one user apart; a user's first has 1.
    pub fn new(version: u32, clock: &dyn Clock) -> Self {
        Self { version, secret: random(clock) }
    }

    pub(super) fn from_parts(version: u32, secret: Secret) -> Self {
        Self { version, secret }
    }

    /// Which of the user's keys it is.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Seals `plain` for one place: a column, and in it a row, by whatever names the row for good. 45 bytes longer than
    /// `plain`.
    pub fn seal(
        &self,
        owner: &UserId,
        column: SealedColumn,
        row: &[u8],
        plain: &[u8],
        clock: &dyn Clock,
    ) -> Vec<u8> {
        let mut head = Vec::with_capacity(plain.len() + 45);
        head.push(FORMAT);
        head.extend(self.version.to_be_bytes());
        encrypt(&self.secret, head, &self.about(owner, column, row), plain, clock)
    }

    /// Opens what was sealed for this place with this key.
    ///
    /// # Errors
    /// [`SealError::Refused`] if it was not, or was changed.
    pub fn open(
        &self,
        owner: &UserId,
        column: SealedColumn,
        row: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (head, rest) = sealed.split_at_checked(HEAD_BYTES).ok_or(SealError::Refused)?;
        if head[0] != FORMAT || head[1..] != self.version.to_be_bytes() {
            return Err(SealError::Refused);
        }
        decrypt(&self.secret, rest, &self.about(owner, column, row))
    }

    /// The same as [`Self::open`], of text.
    ///
    /// # Errors
    /// [`SealError::Refused`] if it was sealed otherwise, was changed, or is no text.
    pub fn open_text(
        &self,
        owner: &UserId,
        column: SealedColumn,
        row: &[u8],
        sealed: &[u8],
    ) -> Result<String, SealError> {
        let plain = self.open(owner, column, row, sealed)?;
        std::str::from_utf8(&plain).map(str::to_owned).map_err(|_| SealError::Refused)
    }

    fn about(&self, owner: &UserId, column: SealedColumn, row: &[u8]) -> Vec<u8> {
        let parts = [owner_bytes(owner), column.table().as_bytes(), column.column().as_bytes(), row];
        about(purpose::COLUMN, &parts, self.version)
    }
}

/// `Debug` shows which it is, and no byte of it.
impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey(version {}, redacted)", self.version)
    }
}
