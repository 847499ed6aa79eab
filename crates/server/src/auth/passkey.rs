//! Passkeys: what WebAuthn Level 3 has a server check, at registration (7.1) and at sign-in (7.2).
//!
//! Nothing here asks the store: what is known of a passkey is passed in. `docs/adr/0011-own-webauthn.md` says why it is
//! written here. Not read: attestation, which says what an authenticator is; extensions; and whether a passkey is backed
//! up, of which only a contradiction is refused.

use healthmate_care::Clock;
use healthmate_protocol::{Timestamp, UserId};
use sha2::{Digest, Sha256};

use crate::config::{AllowedOrigins, Settings};

mod authenticator_data;
mod cbor;
mod challenge;
mod client_data;
mod public_key;

use authenticator_data::AuthenticatorData;
use challenge::Challenges;
pub(crate) use challenge::{Ceremony, GOOD_FOR_MS};
use client_data::ClientData;
pub(crate) use public_key::{ALGORITHMS, PublicKey};

/// The server as passkeys know it: a domain, and the pages and apps that may ask for them.
pub(crate) struct RelyingParty {
    id: String,
    id_hash: [u8; 32],
    origins: AllowedOrigins,
    challenges: Challenges,
}

/// Why a passkey was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Something is not what WebAuthn has.
    Malformed,
    /// The challenge is not one of this server's for this, has ended, or was used.
    Challenge,
    /// The page or app is none that may ask, or was in a frame of another.
    Origin,
    /// It was made for another domain.
    RpId,
    /// The authenticator did not check who is there.
    Unverified,
    /// The key is of an algorithm that was not offered, or is no good one.
    Algorithm,
    /// Too many came back lately.
    Busy,
}

impl Refused {
    /// The word in the audit trail.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "passkey_malformed",
            Self::Challenge => "passkey_challenge",
            Self::Origin => "passkey_origin",
            Self::RpId => "passkey_rp_id",
            Self::Unverified => "passkey_unverified",
            Self::Algorithm => "passkey_algorithm",
            Self::Busy => "passkey_busy",
        }
    }

    /// What is wrong, for the one who registers, and where.
    pub(crate) fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("credential.response", "is not what an authenticator writes"),
            Self::Challenge => (
                "credential.response.clientDataJSON",
                "the challenge is not yours, is older than five minutes, or was used: ask for new options",
            ),
            Self::Origin => (
                "credential.response.clientDataJSON",
                "the origin is none of auth.passkeys.origins, or the page was in a frame of another",
            ),
            Self::RpId => ("credential.response.attestationObject", "was made for another domain"),
            Self::Unverified => {
                ("credential.response.attestationObject", "the authenticator must verify its user")
            }
            Self::Algorithm => {
                ("credential.response.attestationObject", "the key must be one for ES256, EdDSA or RS256")
            }
            Self::Busy => ("credential", "too many passkeys come at once: try again later"),
        }
    }
}

/// A passkey that was just made.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) credential: Vec<u8>,
    pub(crate) key: PublicKey,
    pub(crate) counter: u32,
}

/// What a passkey signed, whose signature is to be checked yet.
#[derive(Debug)]
pub(crate) struct Asserted {
    message: Vec<u8>,
    pub(crate) counter: u32,
}

impl Asserted {
    /// Whether `signature` is the one of `key`.
    pub(crate) fn is_signed(&self, key: &PublicKey, signature: &[u8]) -> bool {
        key.verifies(&self.message, signature)
    }
}

impl RelyingParty {
    /// As the settings have it; `None` where nobody signs in with a passkey.
    pub(crate) fn new(settings: &Settings, clock: &dyn Clock) -> Option<Self> {
        let (id, origins) = settings.passkeys()?;
        let id_hash = Sha256::digest(&id).into();
        Some(Self { id, id_hash, origins, challenges: Challenges::new(clock) })
    }

    /// The domain that passkeys belong to.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A new challenge.
    pub(crate) fn challenge(&self, ceremony: Ceremony<'_>, clock: &dyn Clock) -> Vec<u8> {
        self.challenges.issue(ceremony, clock)
    }

    /// What authenticators call a user: always the same, and without the name.
    pub(crate) fn user_handle(&self, user: &UserId) -> [u8; 32] {
        let parts: [&[u8]; 4] =
            [b"healthmate passkey user\0", self.id.as_bytes(), b"\0", user.as_str().as_bytes()];
        Sha256::digest(parts.concat()).into()
    }

    /// Checks what a browser and an authenticator say of a new passkey of `user` (WebAuthn, 7.1), and takes the challenge.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn register(
        &self,
        user: &UserId,
        client_data: &[u8],
        attestation: &[u8],
        now: Timestamp,
    ) -> Result<Registered, Refused> {
        self.check_client(client_data, "webauthn.create", Ceremony::Register(user), now)?;
        let data = AuthenticatorData::read(authenticator_data::attested(attestation)?)?;
        self.check_authenticator(&data)?;
        let new = data.credential.ok_or(Refused::Malformed)?;
        Ok(Registered { credential: new.id.to_vec(), key: new.key, counter: data.counter })
    }

    /// Checks what a browser and an authenticator say at a sign-in (WebAuthn, 7.2), but for the signature and the counter,
    /// and takes the challenge.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn assert(
        &self,
        client_data: &[u8],
        authenticator_data: &[u8],
        now: Timestamp,
    ) -> Result<Asserted, Refused> {
        self.check_client(client_data, "webauthn.get", Ceremony::SignIn, now)?;
        let data = AuthenticatorData::read(authenticator_data)?;
        self.check_authenticator(&data)?;
        let message = [authenticator_data, Sha256::digest(client_data).as_slice()].concat();
        Ok(Asserted { message, counter: data.counter })
    }

    fn check_client(
        &self,
        client_data: &[u8],
        kind: &str,
        ceremony: Ceremony<'_>,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let said = ClientData::read(client_data, kind)?;
        if !self.origins.include(&said.origin) {
            return Err(Refused::Origin);
        }
        self.challenges.take(ceremony, &said.challenge, now)
    }

    fn check_authenticator(&self, data: &AuthenticatorData<'_>) -> Result<(), Refused> {
        if data.rp_id_hash != self.id_hash {
            Err(Refused::RpId)
        } else if !data.is_verified() {
            Err(Refused::Unverified)
        } else if data.contradicts_itself() {
            Err(Refused::Malformed)
        } else {
            Ok(())
        }
    }
}

/// What the fuzz target does with bytes that should be an attestation object, or authenticator data.
///
/// # Panics
/// If a key that was taken is not the same once it was stored, or takes a signature of nothing.
pub(crate) fn read_anything(bytes: &[u8]) {
    let attested = authenticator_data::attested(bytes).unwrap_or(bytes);
    let Ok(AuthenticatorData { credential: Some(new), .. }) = AuthenticatorData::read(attested) else {
        return;
    };
    let stored = PublicKey::from_stored(new.key.algorithm(), &new.key.to_stored());
    assert!(stored.as_ref() == Some(&new.key), "another key once it was stored");
    assert!(!new.key.verifies(b"", b""), "no signature is none");
}
