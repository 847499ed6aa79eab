//! The keys that wrap data keys.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_care::Clock;
use healthmate_protocol::{Timestamp, UserId};
use zeroize::Zeroizing;

use super::{DataKey, FORMAT, SealError, Secret, about, decrypt, encrypt, owner_bytes, purpose, random};

/// What stands at the head of a ring's text.
const HEADING: &str = "\
# The keys of HealthMate's data at rest. Without them the database cannot be read: keep a copy, apart from the copies
# of the database. A line is a key: its id, when it was made, 32 bytes in base64url, and `active` for the one in use.
";

/// The name of a ring key: 1 to 32 letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = RingError;

    fn from_str(text: &str) -> Result<Self, RingError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RingError::Id)
        }
    }
}

/// Why a text is no key ring, or a key cannot leave one. No text of it repeats a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// An id has other characters, or too many.
    #[error("the id of a key is 1 to 32 letters, digits, - and _")]
    Id,
    /// A line is no key.
    #[error(
        "key {0} of the ring is not `ID TIME KEY`, or `ID TIME KEY active`, with 32 bytes in base64url as KEY"
    )]
    Line(usize),
    /// Two keys have one id.
    #[error("the ring has two keys with the id {0}")]
    Twice(KeyId),
    /// Not exactly one key is in use.
    #[error("one key of the ring must be marked `active`, and {0} are")]
    Active(usize),
    /// There is no such key.
    #[error("the ring has no key {0}")]
    NoKey(KeyId),
    /// The key in use cannot leave.
    #[error("{0} is the active key: run `healthmate keys rotate` first")]
    InUse(KeyId),
}

#[derive(Clone)]
struct RingKey {
    id: KeyId,
    made_at: Timestamp,
    secret: Secret,
}

/// A data key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// By which key of the ring.
    pub ring_key: KeyId,
    /// Which of the user's keys it is.
    pub version: u32,
    /// The wrapped key.
    pub bytes: Vec<u8>,
}

/// The keys that wrap data keys: one wraps, all unwrap. Their bytes are wiped from memory when the ring is dropped.
#[derive(Clone)]
pub struct KeyRing {
    /// Oldest first.
    keys: Vec<RingKey>,
    active: usize,
}

impl KeyRing {
    /// A ring with one new key.
    pub fn new(clock: &dyn Clock) -> Self {
        Self { keys: vec![RingKey::new(clock)], active: 0 }
    }

    /// Reads the text of a ring: a key on a line, or several with `;` between; what follows `#` on a line is no key.
    /// See [`Self::to_text`].
    ///
    /// # Errors
    /// If a line is no key, two keys have one id, or not exactly one is `active`.
    pub fn parse(text: &str) -> Result<Self, RingError> {
        let lines = text.lines().filter_map(|line| line.split('#').next());
        let lines = lines.flat_map(|line| line.split(';')).map(str::trim).filter(|line| !line.is_empty());
        let (mut keys, mut active) = (Vec::<RingKey>::new(), Vec::new());
        for (index, line) in lines.enumerate() {
            let (key, is_active) = RingKey::parse(line).ok_or(RingError::Line(index + 1))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(RingError::Twice(key.id));
            }
            keys.push(key);
            active.extend(is_active.then_some(index));
        }
        match active[..] {
            [active] => Ok(Self { keys, active }),
            _ => Err(RingError::Active(active.len())),
        }
    }

    /// The ring as text, which [`Self::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(HEADING.len() + self.keys.len() * 128));
        text.push_str(HEADING);
        for (index, key) in self.keys.iter().enumerate() {
            let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*key.secret));
            for part in [key.id.as_str(), " ", &key.made_at.to_string(), " ", &secret] {
                text.push_str(part);
            }
            text.push_str(if index == self.active { " active\n" } else { "\n" });
        }
        text
    }

    /// The id of the key that wraps.
    pub fn active(&self) -> &KeyId {
        &self.keys[self.active].id
    }

    /// Each key with when it was made, the oldest first.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyId, Timestamp)> {
        self.keys.iter().map(|key| (&key.id, key.made_at))
    }

    /// Whether it has this key.
    pub fn holds(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id == *id)
    }

    /// Adds a new key, which is the active one from now on.
    pub fn add(&mut self, clock: &dyn Clock) -> KeyId {
        let key = RingKey::new(clock);
        let id = key.id.clone();
        self.active = self.keys.len();
        self.keys.push(key);
        id
    }

    /// Removes a key that is not the active one.
    ///
    /// # Errors
    /// `NoKey` or `InUse`.
    pub fn remove(&mut self, id: &KeyId) -> Result<(), RingError> {
        let index = self.keys.iter().position(|key| key.id == *id);
        let index = index.ok_or_else(|| RingError::NoKey(id.clone()))?;
        if index == self.active {
            return Err(RingError::InUse(id.clone()));
        }
        self.keys.remove(index);
        self.active -= usize::from(index < self.active);
        Ok(())
    }

    /// Wraps a user's data key with the active key.
    pub fn wrap(&self, owner: &UserId, key: &DataKey, clock: &dyn Clock) -> WrappedKey {
        let by = &self.keys[self.active];
        let about = about(purpose::DATA_KEY, &[owner_bytes(owner), by.id_bytes()], key.version());
        let bytes = encrypt(&by.secret, vec![FORMAT], &about, &key.secret[..], clock);
        WrappedKey { ring_key: by.id.clone(), version: key.version(), bytes }
    }

    /// Unwraps the data key of `owner`.
    ///
    /// # Errors
    /// `NoRingKey` if the ring does not have the key that wrapped it; `Refused` if it is another's, or was changed.
    pub fn unwrap(&self, owner: &UserId, wrapped: &WrappedKey) -> Result<DataKey, SealError> {
        let by = self.key(&wrapped.ring_key)?;
        let about = about(purpose::DATA_KEY, &[owner_bytes(owner), by.id_bytes()], wrapped.version);
        let plain = decrypt(&by.secret, after_format(&wrapped.bytes)?, &about)?;
        let secret = plain.as_slice().try_into().map_err(|_| SealError::Refused)?;
        Ok(DataKey::from_parts(wrapped.version, Zeroizing::new(secret)))
    }

    /// A value by which a database knows the key with this id again, without knowing it.
    ///
    /// # Errors
    /// `NoRingKey` if the ring has no such key.
    pub fn check_value(&self, id: &KeyId, clock: &dyn Clock) -> Result<Vec<u8>, SealError> {
        let key = self.key(id)?;
        let about = about(purpose::CHECK, &[key.id_bytes()], 0);
        Ok(encrypt(&key.secret, vec![FORMAT], &about, b"", clock))
    }

    /// Whether the ring's key with this id is the one that made `check_value`.
    ///
    /// # Errors
    /// `NoRingKey` if the ring has no such key, `Refused` if it is another key.
    pub fn check(&self, id: &KeyId, check_value: &[u8]) -> Result<(), SealError> {
        let key = self.key(id)?;
        let about = about(purpose::CHECK, &[key.id_bytes()], 0);
        decrypt(&key.secret, after_format(check_value)?, &about).map(drop)
    }

    fn key(&self, id: &KeyId) -> Result<&RingKey, SealError> {
        self.keys.iter().find(|key| key.id == *id).ok_or_else(|| SealError::NoRingKey(id.clone()))
    }
}

/// `Debug` shows ids only.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.id.as_str())).finish()
    }
}

impl RingKey {
    fn new(clock: &dyn Clock) -> Self {
        let name = u128::from_be_bytes(clock.random()) >> 88;
        Self { id: KeyId(format!("k{name:010x}")), made_at: clock.now(), secret: random(clock) }
    }

    fn parse(line: &str) -> Option<(Self, bool)> {
        let mut words = line.split_whitespace();
        let (id, made_at, secret) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
        let is_active = match words.next() {
            None => false,
            Some("active") => true,
            Some(_) => return None,
        };
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).ok()?);
        let secret = Zeroizing::new(bytes.as_slice().try_into().ok()?);
        words.next().is_none().then_some((Self { id, made_at, secret }, is_active))
    }

    fn id_bytes(&self) -> &[u8] {
        self.id.as_str().as_bytes()
    }
}

fn after_format(sealed: &[u8]) -> Result<&[u8], SealError> {
    match sealed.split_first() {
        Some((&FORMAT, rest)) => Ok(rest),
        _ => Err(SealError::Refused),
    }
}
