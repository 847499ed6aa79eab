//! An issuer's keys: each with what it can check, and nothing else.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::ObjectIdentifier;
use rsa::pkcs8::spki::SubjectPublicKeyInfoRef;
use rsa::traits::PublicKeyParts;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::server::ParsedCertificate;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::signature::{Algorithm, VerifyingKey};
use crate::auth::token::MAX_KID_BYTES;
use crate::config::Secret;

/// How many keys are tried for a token that names none.
const MAX_TRIED: usize = 8;

/// The shortest RSA key, in bits (RFC 7518, 3.3).
const MIN_RSA_BITS: usize = 2048;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What a key is, which is what decides about its algorithms: a token does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Kind {
    fn fits(self, algorithm: Algorithm) -> bool {
        use jsonwebtoken::Algorithm as A;
        let Algorithm::Known(algorithm) = algorithm else { return self == Self::P521 };
        match algorithm {
            A::HS256 | A::HS384 | A::HS512 => self == Self::Secret,
            A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512 => self == Self::Rsa,
            A::ES256 => self == Self::P256,
            A::ES384 => self == Self::P384,
            A::EdDSA => self == Self::Ed25519,
            _ => false,
        }
    }
}

struct Key {
    kid: Option<String>,
    /// The only algorithm it is for, where it says so.
    only: Option<Algorithm>,
    kind: Kind,
    verifying: VerifyingKey,
}

/// The keys of one issuer.
pub(crate) struct KeySet(Vec<Key>);

/// The keys that may have signed a token.
pub(crate) enum Selected<'a> {
    /// None that is known.
    None,
    /// These: one, or a few where the token names none.
    Keys(Vec<&'a VerifyingKey>),
}

impl KeySet {
    pub(crate) fn of_secret(secret: &Secret) -> Self {
        let verifying = VerifyingKey::of_secret(secret.expose().as_bytes());
        Self(vec![Key { kid: None, only: None, kind: Kind::Secret, verifying }])
    }

    /// The public keys and certificates of a PEM file. A certificate is a key in a wrapping: who signed it, and until
    /// when it is good, does not count.
    pub(crate) fn of_pem_file(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        Self::of_pem(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    fn of_pem(text: &[u8]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) = section.map_err(|error| format!("is no PEM: {error}"))?;
            let (kind, verifying) = match kind {
                SectionKind::PublicKey => of_public_key(&der)?,
                SectionKind::Certificate => {
                    let der = CertificateDer::from(der);
                    let parsed = ParsedCertificate::try_from(&der).map_err(|error| error.to_string())?;
                    of_public_key(&parsed.subject_public_key_info())?
                }
                _ => return Err("holds a key that is not public: only public keys belong here".to_owned()),
            };
            keys.push(Key { kid: None, only: None, kind, verifying });
        }
        match keys.len() {
            0 => Err("holds no PUBLIC KEY and no CERTIFICATE".to_owned()),
            1..=MAX_TRIED => Ok(Self(keys)),
            many => Err(format!("holds {many} keys, must be at most {MAX_TRIED}")),
        }
    }

    /// The keys of a JWK set (RFC 7517) that can check signatures here. What is of other kinds is left out.
    pub(crate) fn of_jwks(text: &[u8], max_keys: usize) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(text).map_err(|_| "is no JWK set".to_owned())?;
        if document.keys.len() > max_keys {
            return Err(format!("holds {} keys, must be at most {max_keys}", document.keys.len()));
        }
        let keys: Vec<Key> = document.keys.into_iter().filter_map(of_jwk).collect();
        if keys.is_empty() { Err("holds no key that is understood".to_owned()) } else { Ok(Self(keys)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that may have signed a token with this `kid` by this algorithm. A key without a name fits any.
    pub(crate) fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Selected<'_> {
        let fits = |key: &&Key| {
            key.kind.fits(algorithm)
                && key.only.is_none_or(|only| only == algorithm)
                && (kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
        };
        let named = |key: &&Key| kid.is_some() && key.kid.as_deref() == kid;
        // One that has the name comes before those that have none.
        let fitting: Vec<_> = self.0.iter().filter(fits).collect();
        let keys: Vec<_> = if fitting.iter().any(named) {
            fitting.into_iter().filter(named).map(|key| &key.verifying).collect()
        } else {
            fitting.into_iter().take(MAX_TRIED).map(|key| &key.verifying).collect()
        };
        if keys.is_empty() { Selected::None } else { Selected::Keys(keys) }
    }
}

/// A public key as it stands in PEM files and certificates.
fn of_public_key(der: &[u8]) -> Result<(Kind, VerifyingKey), String> {
    let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| "holds no public key".to_owned())?;
    let bits = info.subject_public_key.as_bytes().ok_or("holds a key that is cut")?;
    let curve = || info.algorithm.parameters_oid().ok();
    match info.algorithm.oid {
        RSA => {
            let key = RsaPublicKey::from_pkcs1_der(bits)
                .map_err(|_| "holds an RSA key that is none, or is longer than 4096 bits".to_owned())?;
            of_rsa(&key)
        }
        EC => {
            let kind = match curve() {
                Some(P256) => Some(Kind::P256),
                Some(P384) => Some(Kind::P384),
                Some(P521) => Some(Kind::P521),
                _ => None,
            };
            kind.and_then(|kind| of_point(kind, bits)).ok_or_else(unknown)
        }
        ED25519 if bits.len() == 32 => {
            Ok((Kind::Ed25519, VerifyingKey::Known(DecodingKey::from_ed_der(bits))))
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> String {
    "holds a key that is not RSA, P-256, P-384, P-521 or Ed25519".to_owned()
}

/// A point on the curve of `kind`, not compressed (SEC 1, 2.3.3).
fn of_point(kind: Kind, bits: &[u8]) -> Option<(Kind, VerifyingKey)> {
    let coordinate = match kind {
        Kind::P256 => 32,
        Kind::P384 => 48,
        Kind::P521 => 66,
        Kind::Secret | Kind::Rsa | Kind::Ed25519 => return None,
    };
    if bits.len() != 1 + 2 * coordinate || bits.first() != Some(&4) {
        return None;
    }
    let key = if kind == Kind::P521 {
        VerifyingKey::P521(p521::ecdsa::VerifyingKey::from_sec1_bytes(bits).ok()?)
    } else {
        VerifyingKey::Known(DecodingKey::from_ec_der(bits))
    };
    Some((kind, key))
}

fn of_rsa(key: &RsaPublicKey) -> Result<(Kind, VerifyingKey), String> {
    if key.n().bits() < MIN_RSA_BITS {
        return Err(format!("holds an RSA key of {} bits, must be at least {MIN_RSA_BITS}", key.n().bits()));
    }
    let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
    Ok((Kind::Rsa, VerifyingKey::Known(DecodingKey::from_rsa_raw_components(&n, &e))))
}

/// The members of a JWK that are read. Others, such as addresses of certificates, are not.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key that can check signatures, if it is one. Secrets (`oct`) are none: whoever can read them can sign.
fn of_jwk(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.r#use.is_some_and(|used| used != "sig")
        || jwk.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES)
    {
        return None;
    }
    // One that is for an algorithm which is not known here is of no use here.
    let only =
        jwk.alg.map(|named| named.parse::<Algorithm>().ok()).map_or(Some(None), |known| known.map(Some))?;
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let (kind, verifying) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let number = |text| Some(rsa::BigUint::from_bytes_be(&bytes(text)?));
            of_rsa(&RsaPublicKey::new(number(&jwk.n)?, number(&jwk.e)?).ok()?).ok()?
        }
        ("EC", Some(curve)) => {
            let kind = match curve {
                "P-256" => Kind::P256,
                "P-384" => Kind::P384,
                "P-521" => Kind::P521,
                _ => return None,
            };
            of_point(kind, &[vec![4], bytes(&jwk.x)?, bytes(&jwk.y)?].concat())?
        }
        ("OKP", Some("Ed25519")) => {
            let point = bytes(&jwk.x).filter(|point| point.len() == 32)?;
            (Kind::Ed25519, VerifyingKey::Known(DecodingKey::from_ed_der(&point)))
        }
        _ => return None,
    };
    Some(Key { kid: jwk.kid, only, kind, verifying })
}
