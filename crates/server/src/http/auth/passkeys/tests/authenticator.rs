//! An authenticator in software, and the browser before it: what they write is made by hand, so that all of it can be wrong.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const RSA: &str = include_str!("../../../../auth/issuer/tests/rsa.pem");

pub(super) const ORIGIN: &str = "https://app.health.example";
pub(super) const RP_ID: &str = "health.example";

/// User present, user verified.
pub(super) const VERIFIED: u8 = 0b101;

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().expect("text")).expect("base64url")
}

/// The beginning of a CBOR value, in its shortest form.
pub(super) fn head(kind: u8, number: usize) -> Vec<u8> {
    let first = |short: usize| kind * 32 + short as u8;
    match number {
        0..=23 => vec![first(number)],
        24..=255 => vec![first(24), number as u8],
        _ => [&[first(25)][..], &(number as u16).to_be_bytes()].concat(),
    }
}

pub(super) fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len()), value.to_vec()].concat()
}

pub(super) fn text(value: &str) -> Vec<u8> {
    [head(3, value.len()), value.as_bytes().to_vec()].concat()
}

pub(super) fn int(value: i32) -> Vec<u8> {
    if value < 0 { head(1, (-1 - value) as usize) } else { head(0, value as usize) }
}

pub(super) fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().map(|(key, value)| [key.as_slice(), value].concat());
    [head(5, entries.len()), entries.collect::<Vec<_>>().concat()].concat()
}

pub(super) enum Key {
    Es256(p256::ecdsa::SigningKey),
    EdDsa(ed25519_dalek::SigningKey),
    Rs256(Box<RsaPrivateKey>),
}

impl Key {
    pub(super) fn es256(seed: u8) -> Self {
        Self::Es256(p256::ecdsa::SigningKey::from_bytes(&[seed; 32].into()).expect("a key"))
    }

    pub(super) fn ed_dsa(seed: u8) -> Self {
        Self::EdDsa(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    pub(super) fn rs256() -> Self {
        let der = PrivatePkcs1KeyDer::from_pem_slice(RSA.as_bytes()).expect("PEM");
        Self::Rs256(Box::new(RsaPrivateKey::from_pkcs1_der(der.secret_pkcs1_der()).expect("a key")))
    }

    pub(super) fn cose(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = (point.x().expect("a point"), point.y().expect("a point"));
                map(&[
                    (int(1), int(2)),
                    (int(3), int(-7)),
                    (int(-1), int(1)),
                    (int(-2), bytes(x)),
                    (int(-3), bytes(y)),
                ])
            }
            Self::EdDsa(key) => map(&[
                (int(1), int(1)),
                (int(3), int(-8)),
                (int(-1), int(6)),
                (int(-2), bytes(key.verifying_key().as_bytes())),
            ]),
            Self::Rs256(key) => map(&[
                (int(1), int(3)),
                (int(3), int(-257)),
                (int(-1), bytes(&key.n().to_bytes_be())),
                (int(-2), bytes(&key.e().to_bytes_be())),
            ]),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::EdDsa(key) => key.sign(message).to_bytes().to_vec(),
            Self::Rs256(key) => {
                key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)).expect("signed")
            }
        }
    }
}

/// One passkey, in an authenticator and a browser that say what they are told to.
pub(super) struct Authenticator {
    pub(super) id: Vec<u8>,
    pub(super) key: Key,
    pub(super) counter: u32,
    pub(super) flags: u8,
    pub(super) rp_id: &'static str,
    pub(super) origin: &'static str,
    /// Other members of the client data.
    pub(super) said_besides: Value,
    /// What its user is called; taken from the options of its registration.
    pub(super) user_handle: Vec<u8>,
    /// The COSE key in the place of its own.
    pub(super) cose: Option<Vec<u8>>,
    /// What follows the key, or the counter.
    pub(super) extensions: Vec<u8>,
    /// The format of its attestation, and its statement.
    pub(super) attestation: (&'static str, Vec<u8>),
}

impl Authenticator {
    pub(super) fn new(key: Key) -> Self {
        let id = Sha256::digest(key.cose())[..16].to_vec();
        Self {
            id,
            key,
            counter: 0,
            flags: VERIFIED,
            rp_id: RP_ID,
            origin: ORIGIN,
            said_besides: json!({}),
            user_handle: Vec::new(),
            cose: None,
            extensions: Vec::new(),
            attestation: ("none", map(&[])),
        }
    }

    /// What the browser says.
    fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        let mut said =
            json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        for (name, value) in self.said_besides.as_object().expect("an object") {
            said[name] = value.clone();
        }
        said.to_string().into_bytes()
    }

    /// What the authenticator says, with its new credential at registration.
    pub(super) fn data(&self, with_credential: bool) -> Vec<u8> {
        let has_extensions = if self.extensions.is_empty() { 0 } else { 0x80 };
        let flags = self.flags | has_extensions | if with_credential { 0x40 } else { 0 };
        let mut data = Sha256::digest(self.rp_id).to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        if with_credential {
            data.extend([0; 16]);
            data.extend((self.id.len() as u16).to_be_bytes());
            data.extend(&self.id);
            data.extend(self.cose.clone().unwrap_or_else(|| self.key.cose()));
        }
        data.extend(&self.extensions);
        data
    }

    /// `toJSON` of a new credential, of what `/options` answered.
    pub(super) fn create(&mut self, options: &Value) -> Value {
        self.user_handle = decoded(&options["user"]["id"]);
        let (format, statement) = &self.attestation;
        let object = map(&[
            (text("fmt"), text(format)),
            (text("attStmt"), statement.clone()),
            (text("authData"), bytes(&self.data(true))),
        ]);
        let client_data = self.client_data("webauthn.create", options["challenge"].as_str().expect("text"));
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(client_data), "attestationObject": base64url(object),
                "transports": ["internal"],
            },
        })
    }

    /// `toJSON` of a credential that signed, of what `/sign-in/options` answered.
    pub(super) fn get(&self, options: &Value) -> Value {
        let data = self.data(false);
        let client_data = self.client_data("webauthn.get", options["challenge"].as_str().expect("text"));
        let signature = self.key.sign(&[data.as_slice(), &Sha256::digest(&client_data)].concat());
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(client_data), "authenticatorData": base64url(data),
                "signature": base64url(signature), "userHandle": base64url(&self.user_handle),
            },
        })
    }
}
