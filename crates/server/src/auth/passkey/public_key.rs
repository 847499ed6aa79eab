//! Public keys of passkeys: ES256 with P-256, EdDSA with Ed25519, and RS256.

use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature as EcSignature, VerifyingKey as EcKey};
use rsa::pkcs1::{DecodeRsaPublicKey, EncodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};

use super::Refused;
use super::cbor::{NotCbor, Reader};

/// The COSE numbers of the algorithms that are taken, the best first.
pub(crate) const ALGORITHMS: [i32; 3] = [ES256, ED_DSA, RS256];

const ES256: i32 = -7;
const ED_DSA: i32 = -8;
const RS256: i32 = -257;

/// The shortest RSA key, in bits. The crate refuses those longer than 4096.
const MIN_RSA_BITS: usize = 2048;

/// The kinds of keys, and their curves, by their COSE numbers (RFC 9053).
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
const P256: i64 = 1;
const ED25519: i64 = 6;

/// A key that checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Es256(EcKey),
    EdDsa(EdKey),
    Rs256(RsaPublicKey),
}

/// The members of a COSE key that are read.
#[derive(Default)]
struct Members<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    /// The curve; of RSA there is none.
    curve: Option<i64>,
    /// x; of RSA, the modulus.
    first: Option<&'a [u8]>,
    /// y; of RSA, the exponent.
    second: Option<&'a [u8]>,
}

impl<'a> Members<'a> {
    /// Reads a COSE key (RFC 9052, 7). A member that comes twice is none.
    fn read(reader: &mut Reader<'a>) -> Result<Self, NotCbor> {
        let mut members = Self::default();
        for _ in 0..reader.map()? {
            let label = reader.int()?;
            let is_rsa = members.kind == Some(RSA);
            match label {
                1 => once(&mut members.kind, reader.int()?)?,
                3 => once(&mut members.algorithm, reader.int()?)?,
                -1 if is_rsa => once(&mut members.first, reader.bytes()?)?,
                -1 => once(&mut members.curve, reader.int()?)?,
                -2 if is_rsa => once(&mut members.second, reader.bytes()?)?,
                -2 => once(&mut members.first, reader.bytes()?)?,
                -3 if !is_rsa => once(&mut members.second, reader.bytes()?)?,
                _ => reader.skip(1)?,
            }
        }
        Ok(members)
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), NotCbor> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(NotCbor),
    }
}

impl PublicKey {
    /// Reads a COSE key, and leaves what follows it.
    ///
    /// # Errors
    /// `Malformed` if it is none; `Algorithm` if it is for another algorithm, or is too short or no key of its own.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let Members { kind, algorithm, curve, first, second } =
            Members::read(reader).map_err(|NotCbor| Refused::Malformed)?;
        let algorithm = algorithm.and_then(|number| i32::try_from(number).ok());
        let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
        let key = match (algorithm, kind, curve) {
            (Some(ES256), Some(EC2), Some(P256)) if first.len() == 32 && second.len() == 32 => {
                Self::from_stored(ES256, &[&[4], first, second].concat())
            }
            (Some(ED_DSA), Some(OKP), Some(ED25519)) => Self::from_stored(ED_DSA, first),
            (Some(RS256), Some(RSA), None) => {
                let key = RsaPublicKey::new(BigUint::from_bytes_be(first), BigUint::from_bytes_be(second));
                key.ok().and_then(of_rsa)
            }
            _ => None,
        };
        key.ok_or(Refused::Algorithm)
    }

    /// The key as [`Self::to_stored`] wrote it; `None` if it is none of this algorithm.
    pub(crate) fn from_stored(algorithm: i32, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            ES256 => EcKey::from_sec1_bytes(bytes).ok().map(Self::Es256),
            ED_DSA => {
                let key = EdKey::from_bytes(bytes.try_into().ok()?).ok()?;
                Some(key).filter(|key| !key.is_weak()).map(Self::EdDsa)
            }
            RS256 => RsaPublicKey::from_pkcs1_der(bytes).ok().and_then(of_rsa),
            _ => None,
        }
    }

    /// The key as its algorithm writes it: a point in the form of SEC1, 32 bytes, or PKCS#1.
    pub(crate) fn to_stored(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => key.to_encoded_point(false).as_bytes().to_vec(),
            Self::EdDsa(key) => key.to_bytes().to_vec(),
            // Two whole numbers can always be written.
            Self::Rs256(key) => key.to_pkcs1_der().map(|der| der.as_bytes().to_vec()).unwrap_or_default(),
        }
    }

    /// The COSE number of its algorithm.
    pub(crate) fn algorithm(&self) -> i32 {
        match self {
            Self::Es256(_) => ES256,
            Self::EdDsa(_) => ED_DSA,
            Self::Rs256(_) => RS256,
        }
    }

    /// A key that is nobody's, so that checking a signature of an unknown passkey takes as long.
    pub(crate) fn nobodys() -> Option<Self> {
        EcKey::from_affine(p256::AffinePoint::GENERATOR).ok().map(Self::Es256)
    }

    /// Whether `signature` is one of this key, of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(key) => EcSignature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::EdDsa(key) => EdSignature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::Rs256(key) => {
                key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature).is_ok()
            }
        }
    }
}

fn of_rsa(key: RsaPublicKey) -> Option<PublicKey> {
    Some(key).filter(|key| key.n().bits() >= MIN_RSA_BITS).map(PublicKey::Rs256)
}
