//! What an authenticator says and signs (WebAuthn, 6.1), and the object that carries it at registration (6.5).

use super::Refused;
use super::cbor::{NotCbor, Reader};
use super::public_key::PublicKey;

/// The longest id of a credential, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 1023;

const USER_PRESENT: u8 = 1 << 0;
const USER_VERIFIED: u8 = 1 << 2;
const MAY_BE_BACKED_UP: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// What an authenticator says.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    /// SHA-256 of the domain that it took the request for.
    pub(super) rp_id_hash: &'a [u8],
    flags: u8,
    /// How often it has signed; 0 where it does not count.
    pub(super) counter: u32,
    /// At registration, the new credential.
    pub(super) credential: Option<Credential<'a>>,
}

/// A new credential.
#[derive(Debug)]
pub(super) struct Credential<'a> {
    /// What its authenticator calls it, 1 to 1023 bytes.
    pub(super) id: &'a [u8],
    pub(super) key: PublicKey,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads it, to its last byte.
    ///
    /// # Errors
    /// `Malformed` if it is none; `Algorithm` if it holds a key of another algorithm.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader::new(bytes);
        let rp_id_hash = reader.take(32)?;
        let flags = reader.take(1)?[0];
        let counter = reader.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let credential = match flags & HAS_CREDENTIAL {
            0 => None,
            _ => Some(Credential::read(&mut reader)?),
        };
        if flags & HAS_EXTENSIONS != 0 {
            let mut extensions = reader;
            extensions.map()?;
            reader.skip(0)?;
        }
        reader.end()?;
        Ok(Self { rp_id_hash, flags, counter, credential })
    }

    /// Whether a person was there, and proved to the authenticator to be the right one.
    pub(super) fn is_verified(&self) -> bool {
        self.flags & USER_PRESENT != 0 && self.flags & USER_VERIFIED != 0
    }

    /// Whether it says that it is backed up, and that it cannot be.
    pub(super) fn contradicts_itself(&self) -> bool {
        self.flags & BACKED_UP != 0 && self.flags & MAY_BE_BACKED_UP == 0
    }
}

impl<'a> Credential<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Refused> {
        // The model of the authenticator: nothing is decided by it.
        reader.take(16)?;
        let length = reader.take(2)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        if !(1..=MAX_CREDENTIAL_BYTES).contains(&length) {
            return Err(Refused::Malformed);
        }
        let id = reader.take(length)?;
        Ok(Self { id, key: PublicKey::read(reader)? })
    }
}

/// The authenticator data in an attestation object. What attests the authenticator's model is read over, whatever its
/// format: none was asked for, and nothing is decided by it.
///
/// # Errors
/// `Malformed` if it is no attestation object.
pub(super) fn attested(object: &[u8]) -> Result<&[u8], Refused> {
    let mut reader = Reader::new(object);
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..reader.map()? {
        let repeated = match reader.text()? {
            "fmt" => format.replace(reader.text()?).is_some(),
            "attStmt" => {
                let mut map = reader;
                map.map()?;
                reader.skip(1)?;
                statement.replace(()).is_some()
            }
            "authData" => data.replace(reader.bytes()?).is_some(),
            _ => true,
        };
        if repeated {
            return Err(Refused::Malformed);
        }
    }
    reader.end()?;
    match (format, statement, data) {
        (Some(_), Some(()), Some(data)) => Ok(data),
        _ => Err(Refused::Malformed),
    }
}

impl From<NotCbor> for Refused {
    fn from(NotCbor: NotCbor) -> Self {
        Self::Malformed
    }
}
