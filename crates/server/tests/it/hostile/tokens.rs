//! Tokens that somebody made, or made over: refused with the same code by the REST API, by a handshake, and by an
//! `authenticate` message.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::{ErrorCode, ServerMessage};
use healthmate_server::config::Settings;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{exchange, serves_on, start, status};
use crate::client::Client;
use crate::server::TestServer;

const SHARED: &str = "the secret of an issuer for tests, of 32 bytes or more";
const RSA: &str = include_str!("../../../src/auth/issuer/tests/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../../src/auth/issuer/tests/rsa-public.pem");

/// A server that takes tokens of its own, of `clinic` by a secret, and of `hospital` by an RSA key. `hospital` allows
/// HS256 too, as a careless configuration would.
async fn with_issuers() -> TestServer {
    let pem = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/auth/issuer/tests/rsa-public.pem");
    let text = format!(
        "[[auth.issuers]]\nname = \"clinic\"\niss = \"clinic\"\naudience = \"healthmate\"\n\
         algorithms = [\"HS256\"]\nsecret = \"{SHARED}\"\n\
         [[auth.issuers]]\nname = \"hospital\"\niss = \"hospital\"\naudience = \"healthmate\"\n\
         algorithms = [\"RS256\", \"HS256\"]\npem_file = {:?}\n",
        pem.display().to_string()
    );
    let configured: Settings = toml::from_str(&text).expect("settings");
    start(|settings| settings.auth.issuers = configured.auth.issuers).await
}

/// Good claims of `clinic`, but for the change.
fn claims(now_s: i64, change: &Value) -> Value {
    let mut claims = json!({ "iss": "clinic", "aud": "healthmate", "sub": "ana", "exp": now_s + 60 });
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

/// Header and claims as they are, signed by HMAC-SHA256 with `key`.
fn forged(header: &str, claims: &[u8], key: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(key.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs");
    format!("{message}.{signature}")
}

type Case = (String, String, ErrorCode);

/// Headers that choose another algorithm, another key, or more than is understood.
fn headers(now_s: i64) -> Vec<Case> {
    use ErrorCode as E;
    let good = claims(now_s, &json!({})).to_string();
    let case =
        |header: &str, key: &str, code| (header.to_owned(), forged(header, good.as_bytes(), key), code);
    let mut cases: Vec<_> = ["none", "None", "NONE", "nOnE", "none ", "", "hs256", "HS384", "RS256", "dir"]
        .map(|spelling| case(&json!({ "alg": spelling }).to_string(), SHARED, E::TokenAlgorithm))
        .into();
    for (header, code) in [
        ("{}", E::TokenMalformed),
        (r#"{"alg":256}"#, E::TokenMalformed),
        (r#"{"alg":"HS256","alg":"none"}"#, E::TokenMalformed),
        (r#"{"alg":"HS256","crit":["exp"]}"#, E::TokenMalformed),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, E::TokenMalformed),
        (r#"{"alg":"HS256","kid":["a"]}"#, E::TokenMalformed),
    ] {
        cases.push(case(header, SHARED, code));
    }
    // What a token says about keys is only ever a word: it is not read as a path, a query, an address or a key.
    for kid in ["../../../dev/null", "' UNION SELECT ''; --", "http://127.0.0.1:1/", "\0", ""] {
        let brought = json!({
            "alg": "HS256", "kid": kid, "jku": "http://127.0.0.1:1/", "x5u": "file:///dev/null",
            "jwk": { "kty": "oct", "k": "" }
        });
        cases.push(case(&brought.to_string(), "", E::TokenSignature));
    }
    let hospital = claims(now_s, &json!({ "iss": "hospital" })).to_string();
    let confused = forged(r#"{"alg":"HS256"}"#, hospital.as_bytes(), RSA_PUBLIC);
    cases.push(("a public key as a secret".to_owned(), confused, E::TokenKey));
    let own = claims(now_s, &json!({ "iss": null })).to_string();
    let crossed = forged(r#"{"alg":"HS256"}"#, own.as_bytes(), SHARED);
    cases.push(("an issuer's secret in the server's name".to_owned(), crossed, E::TokenSignature));
    let unsigned = forged(r#"{"alg":"none"}"#, own.as_bytes(), "");
    let unsigned = unsigned.rsplit_once('.').expect("three parts").0.to_owned() + ".";
    cases.push(("unsigned, in the server's name".to_owned(), unsigned, E::TokenAlgorithm));
    cases
}

/// Claims that are over, not ours, or that readers read differently; and what is no token.
fn bodies(now_s: i64) -> Vec<Case> {
    use ErrorCode as E;
    let good = claims(now_s, &json!({})).to_string();
    let signed = |claims: &[u8]| forged(r#"{"alg":"HS256"}"#, claims, SHARED);
    let changed = [
        (json!({ "exp": now_s - 60 }), E::TokenExpired),
        (json!({ "exp": i64::MIN }), E::TokenExpired),
        (json!({ "nbf": now_s + 3600 }), E::TokenNotYetValid),
        (json!({ "exp": u64::MAX }), E::TokenMalformed),
        (json!({ "exp": 1e300 }), E::TokenMalformed),
        (json!({ "iss": "https://evil.example" }), E::TokenIssuer),
        (json!({ "iss": "Clinic" }), E::TokenIssuer),
        (json!({ "aud": "somebody else" }), E::TokenAudience),
        (json!({ "aud": null }), E::TokenAudience),
        (json!({ "sub": "ana' OR 1=1 --" }), E::TokenUser),
        (json!({ "sub": "mallory" }), E::UserUnknown),
    ];
    let mut cases: Vec<Case> = changed
        .into_iter()
        .map(|(change, code)| {
            (change.to_string(), signed(claims(now_s, &change).to_string().as_bytes()), code)
        })
        .collect();
    let token = signed(good.as_bytes());
    let huge = format!(r#"{{"n":{},"#, "9".repeat(500));
    for (what, token, code) in [
        ("two users", signed(good.replacen('{', r#"{"sub":"ben","#, 1).as_bytes()), E::TokenMalformed),
        ("two ends", signed(good.replacen('{', r#"{"exp":1,"#, 1).as_bytes()), E::TokenMalformed),
        ("a huge number", signed(good.replacen('{', &huge, 1).as_bytes()), E::TokenMalformed),
        ("no UTF-8", signed(b"{\"iss\":\"clinic\",\"x\":\"\xff\"}"), E::TokenMalformed),
        ("padding", format!("{token}="), E::TokenMalformed),
        ("no base64url", token.replacen('.', "+/.", 1), E::TokenMalformed),
        ("two parts", token.rsplit_once('.').expect("three parts").0.to_owned(), E::TokenMalformed),
        ("five parts", format!("{token}.a.b"), E::TokenMalformed),
        ("9 KiB", format!("{token}{}", "A".repeat(9 * 1024)), E::TokenTooLarge),
    ] {
        cases.push((what.to_owned(), token, code));
    }
    cases
}

/// What the REST API says to a token: the status, and the code of a problem.
async fn me(server: &TestServer, token: &str) -> (u16, String) {
    let head = "GET /v1/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer";
    let answer = exchange(server, format!("{head} {token}\r\n\r\n").as_bytes()).await;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: Value = serde_json::from_str(body).expect("JSON");
    (status(&answer), body["code"].as_str().unwrap_or_default().to_owned())
}

/// The refusal that a connection ends with. Only a token that can be good later is worth coming back with.
async fn refusal(mut client: Client, what: &str) -> ErrorCode {
    let ServerMessage::AuthenticationFailed(failed) = client.next().await else { panic!("taken: {what}") };
    let close = if failed.code == ErrorCode::TokenNotYetValid { 4003 } else { 4500 };
    assert_eq!(client.close_code().await, close, "{what}");
    failed.code
}

#[tokio::test]
async fn a_hostile_token_gets_its_code_at_every_door() {
    let server = with_issuers().await;
    let now_s = server.app.clock.now().as_micros() / 1_000_000;
    let url = server.url("/ws/combined");
    for (what, token, code) in [headers(now_s), bodies(now_s)].concat() {
        assert_eq!(me(&server, &token).await, (401, code.as_str().to_owned()), "REST: {what}");
        let mut asking = Client::open(&url).await;
        asking.send(&json!({ "type": "authenticate", "token": token }).to_string()).await;
        assert_eq!(refusal(asking, &what).await, code, "a message: {what}");
        let bearer = format!("Bearer {token}");
        let shaking = Client::try_open(&url, &[("authorization", &bearer)]).await;
        let mut shaking = shaking.expect("the token is judged afterwards");
        assert!(matches!(shaking.next().await, ServerMessage::ConnectionEstablished(_)), "{what}");
        assert_eq!(refusal(shaking, &what).await, code, "a handshake: {what}");
    }
    serves_on(server).await;
}

/// The tokens beside which the hostile ones are forged are good: one that never ends, and one by an RSA key.
#[tokio::test]
async fn an_honest_token_of_each_issuer_is_taken_at_every_door() {
    let server = with_issuers().await;
    let now_s = server.app.clock.now().as_micros() / 1_000_000;
    let endless = claims(now_s, &json!({ "exp": i64::MAX })).to_string();
    let endless = forged(r#"{"alg":"HS256","kid":"../x"}"#, endless.as_bytes(), SHARED);
    let der = PrivatePkcs1KeyDer::from_pem_slice(RSA.as_bytes()).expect("a key");
    let key = EncodingKey::from_rsa_der(der.secret_pkcs1_der());
    let hospital = claims(now_s, &json!({ "iss": "hospital" }));
    let hospital = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &hospital, &key).expect("signed");
    for token in [endless, hospital, server.token("ana")] {
        assert_eq!(me(&server, &token).await, (200, String::new()));
        let mut ana = Client::open(&server.url("/ws/combined")).await;
        ana.sign_in(&token).await;
        ana.subscribe("health:ana", None).await;
    }
    serves_on(server).await;
}
