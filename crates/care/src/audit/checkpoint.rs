//! Signed places of the trail: whoever rewrites it from some record on cannot sign the next checkpoint again.

use std::fmt::{self, Write as _};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use healthmate_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Link;

/// A signed place of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The record it was made after.
    pub seq: u64,
    /// That record's link, in hex.
    pub link: String,
    /// When it was signed.
    pub at: Timestamp,
    /// The public key that it was signed with, in hex.
    pub key: String,
    /// The signature (Ed25519), in hex.
    pub signature: String,
}

impl Checkpoint {
    /// Whether it was signed with the key of this public key, in hex.
    pub fn is_signed_by(&self, public_key: &str) -> bool {
        let verify = || {
            let key = VerifyingKey::from_bytes(&bytes(public_key)?).ok()?;
            let signature = Signature::from_bytes(&bytes(&self.signature)?);
            key.verify_strict(&message(self.seq, &self.link, self.at), &signature).ok()
        };
        self.key == public_key && verify().is_some()
    }
}

/// What signs checkpoints.
pub struct CheckpointKey(SigningKey);

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey({})", self.public())
    }
}

impl CheckpointKey {
    /// The key of these 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Its public key, in hex: what verifies its checkpoints.
    pub fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// Signs the place of the trail after record `seq`.
    pub fn sign(&self, seq: u64, link: &Link, at: Timestamp) -> Checkpoint {
        let link = hex(link);
        let signature = self.0.sign(&message(seq, &link, at));
        Checkpoint { seq, link, at, key: self.public(), signature: hex(&signature.to_bytes()) }
    }
}

fn message(seq: u64, link: &str, at: Timestamp) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(b"healthmate audit checkpoint 1");
    hash.update(seq.to_be_bytes());
    hash.update(at.as_micros().to_be_bytes());
    hash.update(link.as_bytes());
    hash.finalize().to_vec()
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_good_as_it_was_signed_and_in_no_other_way() {
        let key = CheckpointKey::new(&[7; 32]);
        let good = key.sign(3, &[1; 32], Timestamp::from_micros(5));
        assert!(good.is_signed_by(&key.public()));
        let forged = [
            Checkpoint { seq: 4, ..good.clone() },
            Checkpoint { link: hex(&[2; 32]), ..good.clone() },
            Checkpoint { at: Timestamp::from_micros(6), ..good.clone() },
            Checkpoint { signature: "00".repeat(64), ..good.clone() },
            Checkpoint { signature: String::new(), ..good },
            CheckpointKey::new(&[8; 32]).sign(3, &[1; 32], Timestamp::from_micros(5)),
        ];
        for forged in forged {
            assert!(!forged.is_signed_by(&key.public()), "{forged:?}");
        }
    }
}
