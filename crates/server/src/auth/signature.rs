//! Signatures of tokens: by which algorithms, and with which keys they are checked.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::ErrorCode;
use jsonwebtoken::DecodingKey;
use p521::ecdsa::signature::Verifier;

use super::token::TokenError;

/// How a token is signed (RFC 7518, 3.1, and RFC 8037, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// By one that the library knows.
    Known(jsonwebtoken::Algorithm),
    /// With ECDSA, P-521 and SHA-512, which it does not.
    Es512,
}

impl Algorithm {
    /// That of the server's own tokens.
    pub(super) const HS256: Self = Self::Known(jsonwebtoken::Algorithm::HS256);
}

impl FromStr for Algorithm {
    type Err = jsonwebtoken::errors::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "ES512" { Ok(Self::Es512) } else { name.parse().map(Self::Known) }
    }
}

/// What a signature is checked with.
pub(super) enum VerifyingKey {
    Known(DecodingKey),
    P521(p521::ecdsa::VerifyingKey),
}

impl VerifyingKey {
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self::Known(DecodingKey::from_secret(secret))
    }

    /// Whether it made `signature`, base64url, under `message`. A key of another kind has not.
    ///
    /// # Errors
    /// `token_malformed` if the signature is no base64url.
    pub(super) fn signed(
        &self,
        message: &str,
        signature: &str,
        algorithm: Algorithm,
    ) -> Result<bool, TokenError> {
        let malformed = TokenError(ErrorCode::TokenMalformed);
        match (self, algorithm) {
            (Self::Known(key), Algorithm::Known(algorithm)) => {
                // An error is one of the signature: the key was tried when it was read.
                jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm)
                    .map_err(|_| malformed)
            }
            (Self::P521(key), Algorithm::Es512) => {
                let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed)?;
                let signature = p521::ecdsa::Signature::from_slice(&signature);
                Ok(signature.is_ok_and(|signature| key.verify(message.as_bytes(), &signature).is_ok()))
            }
            _ => Ok(false),
        }
    }
}
