use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use healthmate_protocol::ErrorCode;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::*;
use crate::auth::claims::seconds;
use crate::auth::{MAX_NAME_BYTES, MAX_TOKEN_BYTES, inspect};
use ErrorCode::{
    TokenAlgorithm, TokenAudience, TokenExpired, TokenIssuer, TokenMalformed, TokenNotYetValid,
    TokenSignature, TokenTooLarge,
};

const SECRET: &str = "a secret for tests, of 32 bytes or more";
/// 2026-11-23T07:00:00Z
const NOW: i64 = 1_795_417_200;

fn verifier(change: impl FnOnce(&mut AuthSettings)) -> TokenVerifier {
    let mut settings = AuthSettings::default();
    change(&mut settings);
    TokenVerifier::new(&settings, &Secret::new(SECRET))
}

fn plain() -> TokenVerifier {
    verifier(|_| {})
}

fn verify(verifier: &TokenVerifier, token: &str) -> Result<String, ErrorCode> {
    verifier.verify(token, seconds(NOW)).map(|claims| claims.user.to_string()).map_err(TokenError::code)
}

/// A token with these claims, rightly signed.
fn signed(claims: &Value) -> String {
    plain().own.sign(claims)
}

/// A token with this header and these claims as text, signed with HMAC-SHA256 whatever the header says.
fn forged(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs");
    format!("{message}.{signature}")
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn good_claims() -> Value {
    json!({ "sub": "p1", "exp": NOW + 60 })
}

#[test]
fn an_issued_token_is_good_until_it_ends() {
    let verifier = verifier(|settings| settings.leeway_s = 0);
    let token = verifier.issue(&UserId::new("p1").expect("valid"), 60, seconds(NOW));
    let at = |second| verifier.verify(&token, seconds(second)).map_err(TokenError::code);
    let claims = at(NOW).expect("good");
    assert_eq!((claims.user.as_str(), claims.expires_at), ("p1", seconds(NOW + 60)));
    assert!(at(NOW + 59).is_ok());
    assert_eq!(at(NOW + 60), Err(TokenExpired));
}

#[test]
fn a_token_says_when_it_was_issued_and_what_it_is_called() {
    let (verifier, ana) = (plain(), UserId::new("ana").expect("valid"));
    let called = TokenNames { id: Some("t1".to_owned()), sign_in: Some("s1".to_owned()) };
    let token = verifier.issue_named(&ana, called, 60, seconds(NOW));
    let claims = verifier.verify(&token, seconds(NOW)).expect("good");
    assert_eq!(claims.issued_at, Some(seconds(NOW)));
    assert_eq!((claims.id.as_deref(), claims.sign_in.as_deref()), (Some("t1"), Some("s1")));
    let bare = verifier.verify(&signed(&good_claims()), seconds(NOW)).expect("good");
    assert_eq!((bare.issued_at, bare.id, bare.sign_in), (None, None, None));
    for claim in ["jti", "sid"] {
        let named = |name: Value| signed(&json!({ "sub": "p1", "exp": NOW + 60, claim: name }));
        assert!(verify(&verifier, &named(json!("x".repeat(MAX_NAME_BYTES)))).is_ok(), "{claim}");
        for wrong in [json!("x".repeat(MAX_NAME_BYTES + 1)), json!(""), json!(7), json!(["s1"])] {
            assert_eq!(verify(&verifier, &named(wrong)), Err(TokenMalformed), "{claim}");
        }
    }
}

#[test]
fn the_leeway_counts_on_both_sides() {
    let verifier = verifier(|settings| settings.leeway_s = 5);
    let token = |exp, nbf| signed(&json!({ "sub": "p1", "exp": exp, "nbf": nbf }));
    assert!(verify(&verifier, &token(NOW - 4, NOW - 9)).is_ok());
    assert_eq!(verify(&verifier, &token(NOW - 5, NOW - 9)), Err(TokenExpired));
    assert!(verify(&verifier, &token(NOW + 60, NOW + 5)).is_ok());
    assert_eq!(verify(&verifier, &token(NOW + 60, NOW + 6)), Err(TokenNotYetValid));
}

#[test]
fn times_at_the_ends_of_the_integers_do_not_overflow() {
    let verifier = plain();
    assert!(verify(&verifier, &signed(&json!({ "sub": "p1", "exp": i64::MAX, "nbf": i64::MIN }))).is_ok());
    assert_eq!(verify(&verifier, &signed(&json!({ "sub": "p1", "exp": i64::MIN }))), Err(TokenExpired));
    let never = signed(&json!({ "sub": "p1", "exp": i64::MAX, "nbf": i64::MAX }));
    assert_eq!(verify(&verifier, &never), Err(TokenNotYetValid));
    assert_eq!(verify(&verifier, &signed(&json!({ "sub": "p1", "exp": u64::MAX }))), Err(TokenMalformed));
}

#[test]
fn only_hs256_is_taken() {
    let claims = good_claims().to_string();
    for algorithm in ["none", "None", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA", "PS256", ""] {
        let header = json!({ "alg": algorithm, "typ": "JWT" }).to_string();
        assert_eq!(verify(&plain(), &forged(&header, &claims)), Err(TokenAlgorithm), "{algorithm}");
    }
    // Unsigned, as `none` would have it.
    let unsigned = forged(r#"{"alg":"none"}"#, &claims);
    let unsigned = unsigned.rsplit_once('.').expect("three parts").0.to_owned() + ".";
    assert_eq!(verify(&plain(), &unsigned), Err(TokenAlgorithm));
    let no_signature = signed(&good_claims()).rsplit_once('.').expect("three parts").0.to_owned() + ".";
    assert_eq!(verify(&plain(), &no_signature), Err(TokenSignature));
}

#[test]
fn a_header_that_says_two_things_or_demands_more_is_refused() {
    let claims = good_claims().to_string();
    let twice = r#"{"alg":"HS256","alg":"none"}"#;
    assert_eq!(verify(&plain(), &forged(twice, &claims)), Err(TokenMalformed));
    let critical = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
    assert_eq!(verify(&plain(), &forged(critical, &claims)), Err(TokenMalformed));
    assert_eq!(verify(&plain(), &forged(r#"{"typ":"JWT"}"#, &claims)), Err(TokenMalformed));
    assert_eq!(verify(&plain(), &forged(HS256, &claims)), Ok("p1".to_owned()), "the forger forges well");
}

#[test]
fn claims_that_are_missing_doubled_or_of_the_wrong_kind_are_refused() {
    let refused = [
        r#"{"sub":"p1"}"#.to_owned(),
        r#"{"sub":"p1","exp":null}"#.to_owned(),
        format!(r#"{{"exp":{}}}"#, NOW + 60),
        format!(r#"{{"sub":"","exp":{}}}"#, NOW + 60),
        format!(r#"{{"sub":"p 1","exp":{}}}"#, NOW + 60),
        format!(r#"{{"sub":7,"exp":{}}}"#, NOW + 60),
        format!(r#"{{"sub":"p1","exp":"{}"}}"#, NOW + 60),
        format!(r#"{{"sub":"p1","exp":{}.5}}"#, NOW + 60),
        format!(r#"{{"sub":"p1","exp":{},"nbf":"soon"}}"#, NOW + 60),
        format!(r#"{{"sub":"p1","sub":"p2","exp":{}}}"#, NOW + 60),
        format!(r#"{{"sub":"p1","exp":1,"exp":{}}}"#, NOW + 60),
        "[]".to_owned(),
        "not JSON".to_owned(),
    ];
    for claims in refused {
        assert_eq!(verify(&plain(), &forged(HS256, &claims)), Err(TokenMalformed), "{claims}");
    }
}

#[test]
fn what_is_no_token_is_malformed_and_what_is_too_long_is_not_read() {
    for text in ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "é.é.é"] {
        assert_eq!(verify(&plain(), text), Err(TokenMalformed), "{text:?}");
    }
    assert_eq!(verify(&plain(), &"a".repeat(MAX_TOKEN_BYTES)), Err(TokenMalformed));
    assert_eq!(verify(&plain(), &"a".repeat(MAX_TOKEN_BYTES + 1)), Err(TokenTooLarge));
    let token = |padding| signed(&json!({ "sub": "p1", "exp": NOW + 60, "x": "x".repeat(padding) }));
    let padding = (0..MAX_TOKEN_BYTES).rev().find(|n| token(*n).len() <= MAX_TOKEN_BYTES).expect("some fits");
    assert!(verify(&plain(), &token(padding)).is_ok());
    assert_eq!(verify(&plain(), &token(padding + 3)), Err(TokenTooLarge));
}

#[test]
fn a_signature_of_another_secret_or_for_other_claims_is_refused_before_the_claims_are_read() {
    let other = TokenVerifier::new(&AuthSettings::default(), &Secret::new(SECRET.to_uppercase()));
    assert_eq!(verify(&plain(), &other.own.sign(&good_claims())), Err(TokenSignature));
    assert_eq!(verify(&plain(), &other.own.sign(&json!({ "sub": "p1", "exp": 1 }))), Err(TokenSignature));
    let (good, swapped) = (signed(&good_claims()), signed(&json!({ "sub": "p2", "exp": NOW + 60 })));
    let body = swapped.rsplit_once('.').expect("three parts").0;
    let signature = good.rsplit_once('.').expect("three parts").1;
    assert_eq!(verify(&plain(), &format!("{body}.{signature}")), Err(TokenSignature));
}

#[test]
fn issuer_and_audience_count_when_they_are_configured() {
    let strict = verifier(|settings| {
        settings.issuer = Some("https://id.example".to_owned());
        settings.audience = Some("healthmate".to_owned());
    });
    let check = |iss: Value, aud: Value| {
        let token = signed(&json!({ "sub": "p1", "exp": NOW + 60, "iss": iss, "aud": aud }));
        assert!(verify(&plain(), &token).is_ok(), "not configured");
        verify(&strict, &token).map(|_| ())
    };
    let issuer = json!("https://id.example");
    assert_eq!(check(issuer.clone(), json!("healthmate")), Ok(()));
    assert_eq!(check(issuer.clone(), json!(["other", "healthmate"])), Ok(()));
    assert_eq!(check(json!("https://id.example/"), json!("healthmate")), Err(TokenIssuer));
    assert_eq!(check(Value::Null, json!("healthmate")), Err(TokenIssuer));
    assert_eq!(check(issuer.clone(), json!(["other"])), Err(TokenAudience));
    assert_eq!(check(issuer, Value::Null), Err(TokenAudience));
    let own = strict.issue(&UserId::new("p1").expect("valid"), 60, seconds(NOW));
    assert_eq!(verify(&strict, &own), Ok("p1".to_owned()));
}

#[test]
fn a_token_can_be_looked_at_without_being_good() {
    let token = signed(&json!({ "sub": "p1", "exp": 1 }));
    let expected = json!({ "header": { "typ": "JWT", "alg": "HS256" }, "claims": { "sub": "p1", "exp": 1 } });
    assert_eq!(inspect(&token), Ok(expected));
    assert_eq!(inspect("nothing"), Err(TokenError(TokenMalformed)));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic_or_pass(text in ".{0,200}") {
        proptest::prop_assert!(plain().verify(&text, seconds(NOW)).is_err());
    }

    #[test]
    fn a_good_token_with_one_byte_changed_is_refused(place in 0usize..100, byte in b'a'..=b'z') {
        let token = signed(&good_claims());
        let place = place % token.len();
        let mut changed = token.clone().into_bytes();
        changed[place] = byte;
        let changed = String::from_utf8(changed).expect("ASCII");
        // The last character carries bits that base64url ignores or refuses; the rest counts whole.
        if changed != token {
            proptest::prop_assert!(plain().verify(&changed, seconds(NOW)).is_err());
        }
    }
}
