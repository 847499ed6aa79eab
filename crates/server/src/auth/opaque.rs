//! Opaque tokens: those that mean nothing by themselves, and are looked up by the id in them.
//!
//! A refresh token is `hmr_<id>_<48 bytes>`, an API token `hmt_<id>_<32 bytes>`; the id is 32 hexadecimal digits, bytes
//! are base64url. What begins so is no JWT, and scanners for leaked secrets can know it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_care::Clock;
use healthmate_storage::SecretHash;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the text of an API token begins with.
pub(crate) const API_PREFIX: &str = "hmt_";

const REFRESH_PREFIX: &str = "hmr_";

/// A refresh token: what all tokens of its sign-in have in common, and what is its own.
#[derive(Clone)]
pub(crate) struct RefreshToken {
    pub(crate) sign_in: Uuid,
    family: [u8; 16],
    own: [u8; 32],
}

impl RefreshToken {
    /// The first one of a sign-in.
    pub(crate) fn first(sign_in: Uuid, clock: &dyn Clock) -> Self {
        Self { sign_in, family: clock.random(), own: random(clock) }
    }

    /// The one after this.
    pub(crate) fn next(&self, clock: &dyn Clock) -> Self {
        Self { own: random(clock), ..self.clone() }
    }

    pub(crate) fn family_hash(&self) -> SecretHash {
        hash(&self.family)
    }

    pub(crate) fn own_hash(&self) -> SecretHash {
        hash(&self.own)
    }

    pub(crate) fn text(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode([self.family.as_slice(), &self.own].concat());
        format!("{REFRESH_PREFIX}{}_{secret}", self.sign_in.simple())
    }

    /// What was sent; `None` if it is no refresh token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign_in, secret) = split::<48>(text.strip_prefix(REFRESH_PREFIX)?)?;
        let (family, own) = secret.split_first_chunk()?;
        Some(Self { sign_in, family: *family, own: own.try_into().ok()? })
    }
}

/// An API token.
#[derive(Clone)]
pub(crate) struct ApiSecret {
    pub(crate) id: Uuid,
    secret: [u8; 32],
}

impl ApiSecret {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self { id: clock.uuid(), secret: random(clock) }
    }

    pub(crate) fn hash(&self) -> SecretHash {
        hash(&self.secret)
    }

    pub(crate) fn text(&self) -> String {
        format!("{API_PREFIX}{}_{}", self.id.simple(), URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// What was sent; `None` if it is no API token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = split(text.strip_prefix(API_PREFIX)?)?;
        Some(Self { id, secret })
    }
}

/// The id, which has one spelling only, and the bytes.
fn split<const N: usize>(rest: &str) -> Option<(Uuid, [u8; N])> {
    let (id, secret) = rest.split_once('_')?;
    let plain = id.len() == 32 && !id.bytes().any(|byte| byte.is_ascii_uppercase());
    let id = Uuid::try_parse(id).ok().filter(|_| plain)?;
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some((id, secret.try_into().ok()?))
}

fn random(clock: &dyn Clock) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&clock.random());
    bytes[16..].copy_from_slice(&clock.random());
    bytes
}

fn hash(secret: &[u8]) -> SecretHash {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use healthmate_care::ManualClock;
    use healthmate_protocol::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_comes_back_from_its_text_and_each_is_another() {
        let clock = ManualClock::new(Timestamp::from_micros(1_795_417_200_000_000));
        let first = RefreshToken::first(clock.uuid(), &clock);
        let next = first.next(&clock);
        let read = RefreshToken::parse(&next.text()).expect("one");
        assert_eq!((read.sign_in, read.family_hash()), (first.sign_in, first.family_hash()));
        assert_eq!(read.own_hash(), next.own_hash());
        assert_ne!(first.own_hash(), next.own_hash());
        let api = ApiSecret::new(&clock);
        let read = ApiSecret::parse(&api.text()).expect("one");
        assert_eq!((read.id, read.hash()), (api.id, api.hash()));
        assert!(api.text().starts_with("hmt_") && api.text().len() == 4 + 32 + 1 + 43, "{}", api.text());
        assert!(ApiSecret::parse(&first.text()).is_none() && RefreshToken::parse(&api.text()).is_none());
    }

    proptest! {
        /// Whatever is sent is read or is not; nothing else happens, and what is read has one spelling.
        #[test]
        fn anything_else_is_none(text in "hm[rt]_[0-9a-fA-F-]{0,40}_[A-Za-z0-9_=+/-]{0,70}", noise in any::<String>()) {
            for text in [text, noise] {
                if let Some(token) = RefreshToken::parse(&text) {
                    prop_assert_eq!(token.text(), text);
                } else if let Some(token) = ApiSecret::parse(&text) {
                    prop_assert_eq!(token.text(), text);
                }
            }
        }
    }
}
