use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::*;
use crate::auth::TokenVerifier;
use crate::config::{Secret, Settings};

mod published;

const OWN: &str = "a secret for tests, of 32 bytes or more";
const SHARED: &str = "the secret of an issuer for tests, 64 bytes or more, so that it does for HS512";
const ISS: &str = "https://id.example/realms/clinic";
const RSA: &str = include_str!("tests/rsa.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa-public.pem");
const RSA_CERTIFICATE: &str = include_str!("tests/rsa-certificate.pem");
const P521_PUBLIC: &str = include_str!("tests/p521-public.pem");
/// The token of [`claims`], signed by OpenSSL with the private half of that key.
const P521_TOKEN: &str = include_str!("tests/p521-token.txt");
const RSA_SHORT: &str = include_str!("tests/rsa-1024-public.pem");
/// 2026-11-23T07:00:00Z
const NOW: i64 = 1_795_417_200;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

/// The settings of an issuer called `clinic`.
fn settings(algorithms: &[&str], rest: &str) -> AuthSettings {
    let text = format!(
        "[[auth.issuers]]\nname = \"clinic\"\niss = \"{ISS}\"\naudience = \"healthmate\"\nalgorithms = {algorithms:?}\n{rest}"
    );
    toml::from_str::<Settings>(&text).expect("settings").auth
}

fn verifier(auth: &AuthSettings) -> TokenVerifier {
    TokenVerifier::with_issuers(auth, &Secret::new(OWN)).expect("keys")
}

/// A verifier that takes tokens signed with the key of this PEM.
fn with_pem(algorithms: &[&str], pem: &str, rest: &str) -> Result<TokenVerifier, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, pem).expect("written");
    let auth = settings(algorithms, &format!("pem_file = {:?}\n{rest}", path.display().to_string()));
    let made = TokenVerifier::with_issuers(&auth, &Secret::new(OWN));
    made.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn rsa_key() -> EncodingKey {
    let der = PrivatePkcs1KeyDer::from_pem_slice(RSA.as_bytes()).expect("a key");
    EncodingKey::from_rsa_der(der.secret_pkcs1_der())
}

fn claims() -> Value {
    json!({ "iss": ISS, "aud": "healthmate", "sub": "ana", "exp": NOW + 60, "iat": NOW })
}

fn with(change: &Value) -> Value {
    let mut claims = claims();
    let (Some(claims), Some(change)) = (claims.as_object_mut(), change.as_object()) else {
        panic!("objects")
    };
    claims.extend(change.clone());
    claims.retain(|_, value| !value.is_null());
    Value::Object(claims.clone())
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).expect("signed")
}

/// Header and claims as they are, signed by HMAC with `key` as it is.
fn forged(header: &str, claims: &[u8], key: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs");
    format!("{message}.{signature}")
}

fn shared() -> EncodingKey {
    EncodingKey::from_secret(SHARED.as_bytes())
}

fn hs256(rest: &str) -> TokenVerifier {
    verifier(&settings(&["HS256"], &format!("secret = \"{SHARED}\"\n{rest}")))
}

fn verify(verifier: &TokenVerifier, token: &str) -> Result<String, &'static str> {
    let verdict = verifier.verify(token, now());
    verdict.map(|claims| claims.user.to_string()).map_err(|error| error.code().as_str())
}

#[test]
fn each_algorithm_is_taken_with_its_key_and_with_no_other() {
    let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let by = |name: &str, key: &EncodingKey| sign(name.parse().expect("known"), key, &claims());
    let ec = |name, pair: &KeyPair| by(name, &EncodingKey::from_ec_der(&pair.serialize_der()));
    let rsa = |name| by(name, &rsa_key());
    let public = [
        ("RS256", rsa("RS256"), RSA_PUBLIC.to_owned()),
        ("RS384", rsa("RS384"), RSA_CERTIFICATE.to_owned()),
        ("RS512", rsa("RS512"), RSA_PUBLIC.to_owned()),
        ("PS256", rsa("PS256"), RSA_PUBLIC.to_owned()),
        ("PS384", rsa("PS384"), RSA_PUBLIC.to_owned()),
        ("PS512", rsa("PS512"), RSA_PUBLIC.to_owned()),
        ("ES256", ec("ES256", &p256), p256.public_key_pem()),
        ("ES384", ec("ES384", &p384), p384.public_key_pem()),
        ("ES512", P521_TOKEN.trim().to_owned(), P521_PUBLIC.to_owned()),
        ("EdDSA", by("EdDSA", &EncodingKey::from_ed_der(&ed25519.serialize_der())), ed25519.public_key_pem()),
    ];
    let mut cases: Vec<_> = public
        .into_iter()
        .map(|(name, token, pem)| (name, token, with_pem(&[name], &pem, "").expect("a key")))
        .collect();
    for name in ["HS256", "HS384", "HS512"] {
        let auth = settings(&[name], &format!("secret = \"{SHARED}\""));
        cases.push((name, by(name, &shared()), verifier(&auth)));
    }
    for (name, token, verifier) in &cases {
        for (other, _, taker) in &cases {
            let expected = if name == other { Ok("ana".to_owned()) } else { Err("token_algorithm") };
            assert_eq!(verify(taker, token), expected, "{name} to {other}");
        }
        let (head, _) = token.rsplit_once('.').expect("three parts");
        assert_eq!(verify(verifier, &format!("{head}.AAAA")), Err("token_signature"), "{name}");
        assert_eq!(verify(verifier, &format!("{head}.")), Err("token_signature"), "{name}");
        assert_eq!(verify(verifier, &format!("{head}.=")), Err("token_malformed"), "{name}");
    }
}

#[test]
fn a_public_key_is_no_secret_and_a_key_of_the_wrong_kind_is_none() {
    // Both algorithms allowed, as a careless configuration would: the kind of the key decides.
    let verifier = with_pem(&["RS256", "HS256"], RSA_PUBLIC, "").expect("a key");
    for key in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim().as_bytes()] {
        let token = forged(r#"{"alg":"HS256"}"#, claims().to_string().as_bytes(), key);
        assert_eq!(verify(&verifier, &token), Err("token_key"));
    }
    let good = sign(Algorithm::RS256, &rsa_key(), &claims());
    assert_eq!(verify(&verifier, &good), Ok("ana".to_owned()));
    // Our own secret opens nothing in the name of another issuer, and the other way round.
    let own = forged(r#"{"alg":"HS256"}"#, claims().to_string().as_bytes(), OWN.as_bytes());
    assert_eq!(verify(&hs256(""), &own), Err("token_signature"));
    let theirs = sign(Algorithm::HS256, &shared(), &with(&json!({ "iss": null })));
    assert_eq!(verify(&hs256(""), &theirs), Err("token_signature"));
}

#[test]
fn pem_files_hold_public_keys_that_are_good_enough() {
    let refused = |pem: &str| with_pem(&["RS256"], pem, "").expect_err("refused");
    insta::assert_snapshot!(refused(RSA_SHORT), @"issuer clinic: FILE: holds an RSA key of 1024 bits, must be at least 2048");
    insta::assert_snapshot!(refused(RSA), @"issuer clinic: FILE: holds a key that is not public: only public keys belong here");
    insta::assert_snapshot!(refused("nothing"), @"issuer clinic: FILE: holds no PUBLIC KEY and no CERTIFICATE");
    insta::assert_snapshot!(refused(&RSA_PUBLIC.repeat(9)), @"issuer clinic: FILE: holds 9 keys, must be at most 8");
    assert!(with_pem(&["RS256"], &RSA_PUBLIC.repeat(8), "").is_ok());
    // The new key beside the old one.
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let both =
        with_pem(&["RS256", "ES256"], &format!("{RSA_PUBLIC}{}", pair.public_key_pem()), "").expect("keys");
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    assert_eq!(verify(&both, &sign(Algorithm::ES256, &key, &claims())), Ok("ana".to_owned()));
    assert_eq!(verify(&both, &sign(Algorithm::RS256, &rsa_key(), &claims())), Ok("ana".to_owned()));
    assert!(!pair.der_bytes().is_empty());
}

#[test]
fn hostile_tokens_get_their_code() {
    let verifier = hs256("");
    let text = claims().to_string();
    let mut refused: Vec<(String, String, &str)> = Vec::new();
    let mut header = |what: &str, header: &str, code| {
        refused.push((what.to_owned(), forged(header, text.as_bytes(), SHARED.as_bytes()), code));
    };
    for spelling in ["none", "None", "NONE", "nOnE", "none ", "", "hs256", "HS256 ", "HS384", "RS256", "dir"]
    {
        header("an algorithm", &json!({ "alg": spelling }).to_string(), "token_algorithm");
    }
    header("no algorithm", "{}", "token_malformed");
    header("a number for one", r#"{"alg":256}"#, "token_malformed");
    header("two", r#"{"alg":"HS256","alg":"none"}"#, "token_malformed");
    header("extensions", r#"{"alg":"HS256","crit":["exp"]}"#, "token_malformed");
    header("a kid that is no text", r#"{"alg":"HS256","kid":["a"]}"#, "token_malformed");
    header("a long kid", &json!({ "alg": "HS256", "kid": "k".repeat(257) }).to_string(), "token_malformed");
    let mut body = |what: &str, body: &[u8], code| {
        let token = forged(r#"{"alg":"HS256"}"#, body, SHARED.as_bytes());
        refused.push((what.to_owned(), token, code));
    };
    for (change, code) in [
        (json!({ "exp": NOW - 5 }), "token_expired"),
        (json!({ "nbf": NOW + 6 }), "token_not_yet_valid"),
        (json!({ "exp": null }), "token_malformed"),
        (json!({ "exp": 1e300 }), "token_malformed"),
        (json!({ "exp": u64::MAX }), "token_malformed"),
        (json!({ "iss": "https://evil.example" }), "token_issuer"),
        (json!({ "iss": format!("{ISS}/") }), "token_issuer"),
        (json!({ "iss": ["a"] }), "token_malformed"),
        (json!({ "aud": "somebody else" }), "token_audience"),
        (json!({ "aud": null }), "token_audience"),
        (json!({ "aud": ["HEALTHMATE"] }), "token_audience"),
        (json!({ "sub": null }), "token_user"),
        (json!({ "sub": "ana'; DROP TABLE user" }), "token_user"),
        (json!({ "sub": "a".repeat(65) }), "token_user"),
    ] {
        body(&change.to_string(), with(&change).to_string().as_bytes(), code);
    }
    body("two users", text.replacen('{', r#"{"sub":"ben","#, 1).as_bytes(), "token_malformed");
    body("two roles", text.replacen('{', r#"{"r":{"a":1,"a":2},"#, 1).as_bytes(), "token_malformed");
    let deep = text.replacen('{', &format!(r#"{{"x":{}1{},"#, "[".repeat(400), "]".repeat(400)), 1);
    body("deep JSON", deep.as_bytes(), "token_malformed");
    body("no UTF-8", &[b"{\"iss\":\"", ISS.as_bytes(), b"\",\"x\":\"\xff\"}"].concat(), "token_malformed");
    body(
        "huge numbers",
        text.replacen('{', &format!(r#"{{"n":{},"#, "9".repeat(500)), 1).as_bytes(),
        "token_malformed",
    );
    let good = sign(Algorithm::HS256, &shared(), &claims());
    for (what, token, code) in [
        ("padding", format!("{good}="), "token_malformed"),
        ("a dot after it", format!("{good}."), "token_malformed"),
        ("a dot before it", format!(".{good}"), "token_malformed"),
        ("five parts", format!("{good}.a.b"), "token_malformed"),
        ("a line end", format!("{good}\n"), "token_malformed"),
        ("a NUL", format!("{good}\0"), "token_malformed"),
        ("too long", format!("{good}{}", "A".repeat(8192)), "token_too_large"),
    ] {
        refused.push((what.to_owned(), token, code));
    }
    for (what, token, code) in refused {
        assert_eq!(verify(&verifier, &token), Err(code), "{what}");
    }
    // A key that a token brings along, or names by what looks like a path or a query, is only ever a word.
    for kid in ["../../etc/passwd", "/dev/null", "' OR 1=1 --", "http://127.0.0.1:1/", "\u{0}\n", ""] {
        let header =
            json!({ "alg": "HS256", "kid": kid, "jku": "http://127.0.0.1:1/", "x5u": "file:///", "jwk": {} });
        let token = forged(&header.to_string(), text.as_bytes(), SHARED.as_bytes());
        assert_eq!(verify(&verifier, &token), Ok("ana".to_owned()), "the secret signed it: {kid:?}");
        let token = forged(&header.to_string(), text.as_bytes(), b"");
        assert_eq!(verify(&verifier, &token), Err("token_signature"), "{kid:?}");
    }
}

#[test]
fn claims_name_the_user_and_the_role_as_the_settings_say() {
    let keycloak = r#"
        user_claim = "preferred_username"
        user_prefix = "clinic-"
        role_claim = "/realm_access/roles"
        roles = { "nurses" = "nurse", "ward-3" = "nurse", "doctors" = "doctor" }
    "#;
    let verifier = hs256(keycloak);
    let check = |change: Value| {
        let token = sign(Algorithm::HS256, &shared(), &with(&change));
        let claims = verifier.verify(&token, now()).map_err(|error| error.code().as_str())?;
        assert_eq!(claims.sign_in, None, "what others call a sign-in is none of ours");
        Ok::<_, &str>((claims.user.to_string(), claims.elsewhere.and_then(|elsewhere| elsewhere.role)))
    };
    let roles = |roles: Value| json!({ "sid": "s1", "preferred_username": "nora", "realm_access": { "roles": roles } });
    let nora = |role| Ok(("clinic-nora".to_owned(), Some(role)));
    assert_eq!(check(roles(json!(["offline", "nurses"]))), nora(Role::Nurse));
    assert_eq!(check(roles(json!(["ward-3", "nurses"]))), nora(Role::Nurse));
    assert_eq!(check(roles(json!("doctors"))), nora(Role::Doctor));
    assert_eq!(check(roles(json!(["doctors", "nurses"]))), Err("token_role"));
    assert_eq!(check(roles(json!(["offline"]))), Err("token_role"));
    assert_eq!(check(roles(json!({ "nurses": true }))), Err("token_role"));
    assert_eq!(check(json!({ "preferred_username": "nora" })), Err("token_role"));
    let long = json!({ "preferred_username": "n".repeat(58), "realm_access": { "roles": "nurses" } });
    assert_eq!(check(long), Err("token_user"));
}
