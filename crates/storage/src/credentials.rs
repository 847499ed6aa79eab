//! Credentials: passwords, sign-ins, API tokens, passkeys, and tokens that were taken back before their end.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use healthmate_care::{By, SignInMethod, TokenScopes};
use healthmate_protocol::{Timestamp, UserId};
use uuid::Uuid;

use crate::Error;

/// How many API tokens that were not revoked a user may have.
pub const MAX_API_TOKENS: u32 = 100;

/// For how long an API token is remembered after it ended, in milliseconds: 30 days, in which who comes with it is told how
/// it ended.
pub const API_TOKEN_REMEMBERED_MS: i64 = 30 * 24 * 3_600_000;

/// How many passkeys a user may have.
pub const MAX_PASSKEYS: u32 = 20;

/// SHA-256 of a secret that nobody can guess: 128 random bits or more. Passwords are hashed with argon2id instead.
pub type SecretHash = [u8; 32];

/// One sign-in of a user: a family of refresh tokens, of which one is good at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The `sid` of its access tokens.
    pub id: Uuid,
    /// Whose.
    pub user: UserId,
    /// How the user came in.
    pub method: SignInMethod,
    /// What its client calls itself, 1 to 64 characters.
    pub label: Option<String>,
    /// The address it began from.
    pub address: Option<IpAddr>,
    /// When it began.
    pub created_at: Timestamp,
    /// When its refresh token was used last.
    pub last_used_at: Timestamp,
    /// When it ends, however often it is used.
    pub expires_at: Timestamp,
}

/// The hash of a password to store.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword {
    /// Its hash.
    pub hash: String,
    /// The hash that must still be there: the one that was verified, or looked at. `None` for "whatever there is".
    pub instead_of: Option<String>,
}

impl NewPassword {
    /// A password that counts whatever was there before: for whoever administers.
    pub fn anyway(hash: String) -> Self {
        Self { hash, instead_of: None }
    }
}

/// Hashes stay out of logs.
impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword")
    }
}

/// A sign-in to store, with the hashes of its first refresh token.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSignIn {
    /// The sign-in.
    pub sign_in: SignIn,
    /// The hash that a password was verified with: it must still be the user's. `None` where something else opened it.
    pub verified: Option<String>,
    /// The hash of the part that all its refresh tokens have in common.
    pub family: SecretHash,
    /// The hash of the part that is new each time.
    pub current: SecretHash,
}

/// Hashes stay out of logs: `Debug` shows the sign-in.
impl fmt::Debug for NewSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSignIn({})", self.sign_in.id)
    }
}

/// A refresh token that is to be exchanged for the next one.
#[derive(Clone)]
pub struct Rotation {
    /// The sign-in that it names.
    pub sign_in: Uuid,
    /// The hash of its part that all tokens of the sign-in have in common: who has it had a token once.
    pub family: SecretHash,
    /// The hash of its own part.
    pub presented: SecretHash,
    /// The hash of the next token's own part.
    pub next: SecretHash,
    /// The token before the current one is good once more if it was exchanged at or after this: its answer may have
    /// been lost.
    pub grace_since: Timestamp,
    /// A sign-in that was used last before this has ended.
    pub idle_since: Timestamp,
    /// Where the sign-in ends by this: until when its access tokens would be good.
    pub access_until: Timestamp,
}

/// Hashes stay out of logs: `Debug` shows the sign-in.
impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rotation({})", self.sign_in)
    }
}

/// What became of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The next one is good now, and no other.
    Renewed(SignIn),
    /// It had been exchanged before: somebody else has it too. The sign-in was ended.
    Reused(UserId),
    /// It is good, and its user is disabled: it was not exchanged, and is good again when the user is enabled.
    Inactive(UserId),
    /// Its sign-in was ended before.
    Ended,
    /// Its sign-in is over, or was not used for too long.
    Expired,
    /// There is no such token.
    Unknown,
}

/// Which of a user's sign-ins to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIns {
    /// This one.
    One(Uuid),
    /// All but this one.
    AllBut(Uuid),
    /// All of them.
    All,
}

impl SignIns {
    /// Whether this sign-in is meant.
    pub fn includes(self, id: Uuid) -> bool {
        match self {
            Self::One(one) => one == id,
            Self::AllBut(kept) => kept != id,
            Self::All => true,
        }
    }
}

/// The end of sign-ins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInEnd {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub which: SignIns,
    /// Why: a stable word.
    pub reason: &'static str,
    /// Until when their access tokens would be good.
    pub access_until: Timestamp,
}

/// An API token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// What names it in the token.
    pub id: Uuid,
    /// Whose rights it has a part of.
    pub user: UserId,
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// What it opens.
    pub scopes: TokenScopes,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends; `None` for "until revoked".
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A passkey.
#[derive(Clone, PartialEq, Eq)]
pub struct Passkey {
    /// What its authenticator calls it, 1 to 1023 bytes.
    pub credential: Vec<u8>,
    /// Whose.
    pub user: UserId,
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// The COSE number of its algorithm.
    pub algorithm: i32,
    /// Its public key, as the algorithm writes it.
    pub public_key: Vec<u8>,
    /// How often its authenticator says it has signed; 0 where it does not count.
    pub counter: u32,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
}

/// `Debug` shows whose it is.
impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passkey(of {})", self.user)
    }
}

/// What was taken back before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub what: Revoked,
    /// From when on it needs no remembering, because it has ended by itself.
    pub until: Timestamp,
}

/// What a token is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revoked {
    /// All tokens with this `sid`.
    SignIn(String),
    /// The token with this `jti`.
    Token(String),
}

/// Passwords, sign-ins, API tokens, passkeys and revocations. Secrets are here as hashes only.
///
/// Each change of what opens a door is recorded in the audit trail in the same transaction, and each end of a sign-in,
/// an API token or a token changes [`crate::Directory::directory_version`].
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The hash of the user's password, if the user has one.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn password(&self, user: &UserId) -> Result<Option<String>, Error>;

    /// Sets the hash of the user's password, and ends sign-ins of the user, which it returns: an old password, or who
    /// knew it, opens nothing any more.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user, `Changed("password")` if the hash is not the one that must still be
    /// there; or the store cannot be written.
    async fn set_password(&self, new: NewPassword, end: SignInEnd, by: By) -> Result<Vec<Uuid>, Error>;

    /// Stores a sign-in that has just begun.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user, `Changed("password")` if the user's password is not the one that was
    /// verified any more, `Exists("sign-in")` if the id is taken; or the store cannot be written.
    async fn add_sign_in(&self, new: NewSignIn, by: By) -> Result<(), Error>;

    /// The user's sign-ins that were not ended, the newest first; also those that have expired and are not forgotten.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn sign_ins(&self, user: &UserId) -> Result<Vec<SignIn>, Error>;

    /// Exchanges a refresh token for the next one, at the time of `by`, unless its user is disabled. One that was exchanged before, outside its grace,
    /// ends the sign-in: two have it, and one of them should not.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn rotate(&self, rotation: Rotation, by: By) -> Result<Rotated, Error>;

    /// Ends sign-ins of a user, and says which: those that were not ended before, in the order in which they began.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn end_sign_ins(&self, end: SignInEnd, by: By) -> Result<Vec<Uuid>, Error>;

    /// Stores an API token.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user, `TooMany("API token", _)` if the user has [`MAX_API_TOKENS`] that were
    /// not revoked, `Exists("API token")` if the id is taken; or the store cannot be written.
    async fn add_api_token(&self, token: ApiToken, hash: SecretHash, by: By) -> Result<(), Error>;

    /// The API token with this id, also one that was revoked, and the hash of its secret.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn api_token(&self, id: Uuid) -> Result<Option<(ApiToken, SecretHash)>, Error>;

    /// The user's API tokens that were not revoked, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn api_tokens(&self, user: &UserId) -> Result<Vec<ApiToken>, Error>;

    /// Takes back an API token of the user.
    ///
    /// # Errors
    /// `NotFound("API token")` if the user has none of this id, or it was revoked before; or the store cannot be
    /// written.
    async fn revoke_api_token(&self, user: &UserId, id: Uuid, by: By) -> Result<(), Error>;

    /// Says when API tokens were used last. Unknown ids are passed over; an earlier time changes nothing.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn api_tokens_used(&self, used: Vec<(Uuid, Timestamp)>) -> Result<(), Error>;

    /// Stores a passkey.
    ///
    /// # Errors
    /// `NotFound("user")` if there is no such user, `TooMany("passkey", _)` if the user has [`MAX_PASSKEYS`],
    /// `Exists("passkey")` if the credential is somebody's already; or the store cannot be written.
    async fn add_passkey(&self, passkey: Passkey, by: By) -> Result<(), Error>;

    /// The passkey with this credential id.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, Error>;

    /// The user's passkeys, the oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, Error>;

    /// Notes that a passkey signed, when its counter stood at `counter`. Says whether that can be: a counter that did not
    /// go on means that there are two of the passkey. Then nothing is noted.
    ///
    /// # Errors
    /// `NotFound("passkey")` if there is none; or the store cannot be written.
    async fn passkey_used(&self, credential: &[u8], counter: u32, at: Timestamp) -> Result<bool, Error>;

    /// Takes back a passkey of the user.
    ///
    /// # Errors
    /// `NotFound("passkey")` if the user has no such passkey; or the store cannot be written.
    async fn remove_passkey(&self, user: &UserId, credential: &[u8], by: By) -> Result<(), Error>;

    /// Takes back one token of `user` until its own end.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn revoke_token(&self, user: &UserId, revocation: Revocation, by: By) -> Result<(), Error>;

    /// What was taken back and has not ended by `now`.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, Error>;

    /// Forgets at most `limit` sign-ins, and as many revocations, that have ended by `before`, and as many API tokens that
    /// were revoked or expired [`API_TOKEN_REMEMBERED_MS`] before that; and says how many of all.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn forget_ended(&self, before: Timestamp, limit: u32) -> Result<u64, Error>;
}
