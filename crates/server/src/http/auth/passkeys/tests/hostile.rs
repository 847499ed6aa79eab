//! What is wrong with a passkey, one thing at a time: what the client is told, and what the trail says.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::authenticator::{Authenticator, Key, base64url, bytes, decoded, head, int, map, text};
use super::{
    PASSKEYS, SIGN_IN, last, list, login, options, post, register, registered, sign_in, sign_in_options,
    world,
};
use crate::http::tests::World;

/// The same with one bit turned over in the middle.
fn broken(value: &Value) -> Value {
    let mut bytes = decoded(value);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    json!(base64url(bytes))
}

type Change = fn(&mut Authenticator);

/// What an authenticator or a browser may say that is wrong at registration and at sign-in, and the word for it.
const BOTH: &[(&str, Change, &str)] = &[
    ("another origin", |a| a.origin = "https://evil.example", "passkey_origin"),
    ("an origin that begins alike", |a| a.origin = "https://app.health.example.evil", "passkey_origin"),
    ("the domain itself, which is not listed", |a| a.origin = "https://health.example", "passkey_origin"),
    ("no TLS", |a| a.origin = "http://app.health.example", "passkey_origin"),
    ("no origin", |a| a.origin = "null", "passkey_origin"),
    ("in a frame", |a| a.said_besides = json!({ "crossOrigin": true }), "passkey_origin"),
    ("below a page", |a| a.said_besides = json!({ "topOrigin": "https://evil.example" }), "passkey_origin"),
    ("another domain", |a| a.rp_id = "evil.example", "passkey_rp_id"),
    ("the origin as domain", |a| a.rp_id = "app.health.example", "passkey_rp_id"),
    ("nobody there", |a| a.flags = 0b100, "passkey_unverified"),
    ("nobody verified", |a| a.flags = 0b001, "passkey_unverified"),
    ("backed up, and cannot be", |a| a.flags |= 0b10000, "passkey_malformed"),
    ("bytes left over", |a| a.extensions = [map(&[]), vec![0]].concat(), "passkey_malformed"),
    ("extensions that are no map", |a| a.extensions = vec![0x80], "passkey_malformed"),
    (
        "nested too deep",
        |a| a.extensions = [&[0xa1, 0x61, b'x'][..], &[0x81; 500], &[0]].concat(),
        "passkey_malformed",
    ),
    (
        "a length of exabytes",
        |a| a.extensions = vec![0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        "passkey_malformed",
    ),
    ("a length without end", |a| a.extensions = vec![0xbf, 0xff], "passkey_malformed"),
    ("another ceremony", |a| a.said_besides = json!({ "type": "payment.get" }), "passkey_malformed"),
    (
        "a challenge of somebody else",
        |a| a.said_besides = json!({ "challenge": base64url([7; 56]) }),
        "passkey_challenge",
    ),
    ("an empty challenge", |a| a.said_besides = json!({ "challenge": "" }), "passkey_challenge"),
    (
        "a challenge in another alphabet",
        |a| a.said_besides = json!({ "challenge": "a+/=" }),
        "passkey_challenge",
    ),
    ("a challenge that is no text", |a| a.said_besides = json!({ "challenge": [1] }), "passkey_malformed"),
];

/// What only a registration can have wrong.
const NEW: &[(&str, Change, &str)] = &[
    ("ES384", |a| a.cose = Some(ec2(-35, 2, 48)), "passkey_algorithm"),
    ("ES256 of P-384", |a| a.cose = Some(ec2(-7, 2, 48)), "passkey_algorithm"),
    ("a point that is none", |a| a.cose = Some(ec2(-7, 1, 32)), "passkey_algorithm"),
    ("a point that is short", |a| a.cose = Some(ec2(-7, 1, 31)), "passkey_algorithm"),
    ("a weak key", |a| a.cose = Some(okp(&[0; 32])), "passkey_algorithm"),
    ("a key that is short", |a| a.cose = Some(okp(&[1; 31])), "passkey_algorithm"),
    ("RSA of 1024 bits", |a| a.cose = Some(rsa(&[0xff; 128])), "passkey_algorithm"),
    ("RSA of 8192 bits", |a| a.cose = Some(rsa(&[0xff; 1024])), "passkey_algorithm"),
    ("RSA of nothing", |a| a.cose = Some(rsa(&[])), "passkey_algorithm"),
    ("no algorithm", |a| a.cose = Some(map(&[(int(1), int(2))])), "passkey_algorithm"),
    ("no key", |a| a.cose = Some(map(&[])), "passkey_algorithm"),
    (
        "two algorithms",
        |a| a.cose = Some(map(&[(int(1), int(2)), (int(3), int(-7)), (int(3), int(-8))])),
        "passkey_malformed",
    ),
    ("a key that is a list", |a| a.cose = Some(vec![0x80]), "passkey_malformed"),
    ("a key that is cut", |a| a.cose = Some(head(5, 5)), "passkey_malformed"),
    ("an id of no length", |a| a.id.clear(), "passkey_malformed"),
    ("an id of 1024 bytes", |a| a.id = vec![7; 1024], "passkey_malformed"),
    ("a statement that is no map", |a| a.attestation.1 = int(1), "passkey_malformed"),
    (
        "a statement nested too deep",
        |a| a.attestation.1 = [map(&[])[..0].to_vec(), vec![0xa1, 1, 0x81, 0x81, 0x81, 0x81]].concat(),
        "passkey_malformed",
    ),
    ("a statement that is tagged", |a| a.attestation.1 = vec![0xa1, 1, 0xc0, 1], "passkey_malformed"),
];

fn ec2(algorithm: i32, curve: i32, length: usize) -> Vec<u8> {
    let coordinate = bytes(&vec![7; length]);
    map(&[
        (int(1), int(2)),
        (int(3), int(algorithm)),
        (int(-1), int(curve)),
        (int(-2), coordinate.clone()),
        (int(-3), coordinate),
    ])
}

fn okp(key: &[u8]) -> Vec<u8> {
    map(&[(int(1), int(1)), (int(3), int(-8)), (int(-1), int(6)), (int(-2), bytes(key))])
}

fn rsa(modulus: &[u8]) -> Vec<u8> {
    let exponent = bytes(&[1, 0, 1]);
    map(&[(int(1), int(3)), (int(3), int(-257)), (int(-1), bytes(modulus)), (int(-2), exponent)])
}

async fn refused_registration(world: &World, token: &str, what: &str, credential: Value, reason: &str) {
    let reply = register(world, token, credential).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_field"), "{what}");
    assert!(reply.json()["field"].as_str().is_some_and(|field| field.starts_with("credential")), "{what}");
    let record = last(world).await;
    assert_eq!(record.reason.as_deref(), Some(reason), "{what}");
    assert_eq!((record.action.as_str(), record.outcome.as_str()), ("credential_issued", "denied"), "{what}");
}

#[tokio::test]
async fn a_registration_that_is_wrong_anywhere_is_refused_and_on_record() {
    let mut settings = super::with_passkeys();
    settings.audit.refusals_per_minute_each = 1000;
    let world = World::with(settings).await;
    super::set_password(&world, "nora", super::PASSWORD).await;
    let (token, _) = login(&world, "nora").await;
    for (what, change, reason) in BOTH.iter().chain(NEW) {
        let mut passkey = Authenticator::new(Key::es256(1));
        change(&mut passkey);
        let credential = passkey.create(&options(&world, &token).await);
        refused_registration(&world, &token, what, credential, reason).await;
    }
    // Another id beside the object, an object that is cut anywhere, and one that is twice what it should be once.
    let mut passkey = Authenticator::new(Key::es256(1));
    let mut other = passkey.create(&options(&world, &token).await);
    other["id"] = json!(base64url([9; 16]));
    refused_registration(&world, &token, "another id", other, "passkey_malformed").await;
    let whole = passkey.create(&options(&world, &token).await);
    let object = decoded(&whole["response"]["attestationObject"]);
    for end in (0..object.len()).step_by(9) {
        let mut cut = passkey.create(&options(&world, &token).await);
        cut["response"]["attestationObject"] = json!(base64url(&object[..end]));
        refused_registration(&world, &token, "cut", cut, "passkey_malformed").await;
    }
    let data = bytes(&passkey.data(true));
    for twice in [
        map(&[
            (text("fmt"), text("none")),
            (text("authData"), data.clone()),
            (text("authData"), data.clone()),
        ]),
        map(&[(text("fmt"), text("none")), (text("attStmt"), map(&[]))]),
        map(&[(text("attStmt"), map(&[])), (text("authData"), data.clone())]),
        map(&[
            (text("fmt"), text("none")),
            (text("attStmt"), map(&[])),
            (text("authData"), data),
            (text("x"), int(1)),
        ]),
        Vec::new(),
        vec![0x9f; 40_000],
    ] {
        let mut changed = passkey.create(&options(&world, &token).await);
        changed["response"]["attestationObject"] = json!(base64url(&twice));
        refused_registration(&world, &token, "an object", changed, "passkey_malformed").await;
    }
    let without_credential = map(&[
        (text("fmt"), text("none")),
        (text("attStmt"), map(&[])),
        (text("authData"), bytes(&passkey.data(false))),
    ]);
    let mut changed = passkey.create(&options(&world, &token).await);
    changed["response"]["attestationObject"] = json!(base64url(without_credential));
    refused_registration(&world, &token, "no credential", changed, "passkey_malformed").await;
    assert_eq!(list(&world, &token).await, Vec::<Value>::new());
    let good = passkey.create(&options(&world, &token).await);
    assert_eq!(register(&world, &token, good).await.status, 201, "and then an honest one");
}

#[tokio::test]
async fn a_challenge_registers_once_in_time_and_for_its_user() {
    let world = world().await;
    let ((nora, _), (ada, _)) = (login(&world, "nora").await, login(&world, "ada").await);
    let mut passkey = Authenticator::new(Key::es256(1));
    let refused = "passkey_challenge";
    let theirs = passkey.create(&options(&world, &ada).await);
    refused_registration(&world, &nora, "for another user", theirs, refused).await;
    let to_sign_in = sign_in_options(&world).await["challenge"].clone();
    let mut told = options(&world, &nora).await;
    told["challenge"] = to_sign_in;
    let credential = passkey.create(&told);
    refused_registration(&world, &nora, "for a sign-in", credential, refused).await;
    let late = passkey.create(&options(&world, &nora).await);
    world.clock.advance_millis(300_000);
    refused_registration(&world, &nora, "late", late, refused).await;
    let used = options(&world, &nora).await;
    let credential = passkey.create(&used);
    assert_eq!(register(&world, &nora, credential.clone()).await.status, 201);
    refused_registration(&world, &nora, "again", credential, refused).await;
    let mut second = Authenticator::new(Key::es256(2));
    let credential = second.create(&used);
    refused_registration(&world, &nora, "another with the same", credential, refused).await;
}

/// All answers to whoever is not let in are one.
struct Refusals {
    world: World,
    answer: Option<String>,
}

impl Refusals {
    async fn of(&mut self, what: &str, credential: Value, reason: &str) {
        let reply = post(&self.world, SIGN_IN, None, json!({ "credential": credential })).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "sign_in_refused"), "{what}");
        let first = self.answer.get_or_insert_with(|| reply.body.clone());
        assert_eq!(*first, reply.body, "{what}: one answer for all");
        let record = last(&self.world).await;
        assert_eq!((record.action.as_str(), record.reason.as_deref()), ("sign_in", Some(reason)), "{what}");
    }

    async fn new() -> (Self, String) {
        let mut settings = super::with_passkeys();
        settings.sign_in.attempts_per_address = 100_000;
        let world = World::with(settings).await;
        super::set_password(&world, "nora", super::PASSWORD).await;
        super::set_password(&world, "ada", super::PASSWORD).await;
        let (token, _) = login(&world, "nora").await;
        (Self { world, answer: None }, token)
    }
}

#[tokio::test]
async fn a_sign_in_that_is_wrong_anywhere_gets_the_one_answer_and_is_on_record() {
    let (mut refusals, token) = Refusals::new().await;
    let mut passkey = registered(&refusals.world, &token, Key::es256(1)).await;
    for (what, change, reason) in BOTH {
        let mut changed = Authenticator::new(Key::es256(1));
        changed.user_handle.clone_from(&passkey.user_handle);
        change(&mut changed);
        let credential = changed.get(&sign_in_options(&refusals.world).await);
        refusals.of(what, credential, reason).await;
    }
    for (what, field, reason) in [
        ("a broken signature", "signature", "passkey_signature"),
        ("another user", "userHandle", "passkey_user"),
        ("broken client data", "clientDataJSON", "passkey_challenge"),
        ("broken authenticator data", "authenticatorData", "passkey_rp_id"),
    ] {
        let mut credential = passkey.get(&sign_in_options(&refusals.world).await);
        credential["response"][field] = broken(&credential["response"][field]);
        refusals.of(what, credential, reason).await;
    }
    for signature in [vec![], vec![0x30, 0], vec![0; 64], vec![0x30; 20_000]] {
        let mut credential = passkey.get(&sign_in_options(&refusals.world).await);
        credential["response"]["signature"] = json!(base64url(signature));
        refusals.of("no signature", credential, "passkey_signature").await;
    }
    for id in [vec![], vec![7; 16], vec![7; 1024], b"' OR 1=1 --".to_vec()] {
        let mut credential = passkey.get(&sign_in_options(&refusals.world).await);
        credential["id"] = json!(base64url(id));
        refusals.of("an id of nobody", credential, "passkey_unknown").await;
    }
    assert_eq!(sign_in(&refusals.world, &passkey).await.status, 200, "and then an honest one");
    passkey.counter = 1;
    assert_eq!(sign_in(&refusals.world, &passkey).await.status, 200);
}

/// A registration's own signature, somebody else's key, and somebody else's passkey with one's own key.
#[tokio::test]
async fn a_passkey_signs_for_nobody_else() {
    let (mut refusals, nora) = Refusals::new().await;
    let (ada, _) = login(&refusals.world, "ada").await;
    let of_nora = registered(&refusals.world, &nora, Key::es256(1)).await;
    let of_ada = registered(&refusals.world, &ada, Key::ed_dsa(2)).await;
    let mut forged = of_ada.get(&sign_in_options(&refusals.world).await);
    forged["id"] = json!(base64url(&of_nora.id));
    refusals.of("another key", forged.clone(), "passkey_signature").await;
    let mut swapped = of_ada.get(&sign_in_options(&refusals.world).await);
    swapped["response"]["userHandle"] = json!(base64url(&of_nora.user_handle));
    refusals.of("one's own key for another user", swapped, "passkey_user").await;
    let told = options(&refusals.world, &nora).await;
    let credential = of_nora.get(&told);
    refusals.of("a challenge of a registration", credential, "passkey_challenge").await;
    assert_eq!(sign_in(&refusals.world, &of_ada).await.json()["user"], "ada");
}

#[tokio::test]
async fn an_assertion_is_good_once_and_for_five_minutes() {
    let (mut refusals, token) = Refusals::new().await;
    let passkey = registered(&refusals.world, &token, Key::es256(1)).await;
    let told = sign_in_options(&refusals.world).await;
    let mut broken_first = passkey.get(&told);
    let good = passkey.get(&told);
    broken_first["response"]["signature"] = broken(&broken_first["response"]["signature"]);
    refusals.of("broken", broken_first, "passkey_signature").await;
    refusals.of("its challenge came back before", good, "passkey_challenge").await;
    let good = passkey.get(&sign_in_options(&refusals.world).await);
    assert_eq!(post(&refusals.world, SIGN_IN, None, json!({ "credential": good })).await.status, 200);
    refusals.of("replayed", good, "passkey_challenge").await;
    let late = passkey.get(&sign_in_options(&refusals.world).await);
    refusals.world.clock.advance_millis(300_000);
    refusals.of("late", late.clone(), "passkey_challenge").await;
    // Without its memory of what came back, the end still holds.
    let other = World::with(super::with_passkeys()).await;
    assert_eq!(post(&other, SIGN_IN, None, json!({ "credential": late })).await.code(), "sign_in_refused");
}

#[tokio::test]
async fn a_counter_that_went_back_is_refused_and_the_passkey_stays() {
    let (mut refusals, token) = Refusals::new().await;
    let mut passkey = registered(&refusals.world, &token, Key::es256(1)).await;
    for (counter, good) in [(0, true), (0, true), (5, true), (5, false), (4, false), (0, false), (6, true)] {
        passkey.counter = counter;
        if good {
            assert_eq!(sign_in(&refusals.world, &passkey).await.status, 200, "{counter}");
        } else {
            let credential = passkey.get(&sign_in_options(&refusals.world).await);
            refusals.of("a counter", credential, "passkey_counter").await;
            assert_eq!(last(&refusals.world).await.object.as_deref(), Some("user:nora"));
        }
    }
    assert_eq!(list(&refusals.world, &token).await.len(), 1);
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_by_what_is_wrong_with_them() {
    let world = world().await;
    let (token, _) = login(&world, "nora").await;
    let mut passkey = Authenticator::new(Key::es256(1));
    let good = passkey.create(&options(&world, &token).await);
    let field = |name: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(name).expect("there") = value;
        json!({ "name": "Phone", "credential": changed })
    };
    for (body, named) in [
        (json!({ "credential": good }), "name"),
        (json!({ "name": "", "credential": good }), "name"),
        (json!({ "name": "x".repeat(65), "credential": good }), "name"),
        (json!({ "name": "a\0", "credential": good }), "name"),
        (json!({ "name": "Phone", "credential": good, "user": "ada" }), "user"),
        (json!({ "name": "Phone" }), "credential"),
        (json!({ "name": "Phone", "credential": [] }), "credential"),
        (field("/id", json!("a b")), "credential.id"),
        (field("/id", json!(7)), "credential.id"),
        (field("/type", json!("password")), "credential.type"),
        (field("/response/clientDataJSON", json!("A=")), "credential.response.clientDataJSON"),
        (field("/response/attestationObject", json!("é")), "credential.response.attestationObject"),
        (field("/response", json!({})), "credential.response.clientDataJSON"),
    ] {
        let reply = post(&world, PASSKEYS, Some(&token), body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_field"), "{named}");
        assert_eq!(reply.json()["field"], named);
    }
    let large = field("/response/attestationObject", json!(URL_SAFE_NO_PAD.encode(vec![0; 60_000])));
    assert_eq!(post(&world, PASSKEYS, Some(&token), large).await.status, 413);
    let signed = passkey.get(&sign_in_options(&world).await);
    for (body, named) in [
        (json!({ "credential": signed, "label": "" }), "label"),
        (json!({ "credential": signed, "user": "nora" }), "user"),
        (json!({ "credential": { "id": "AA", "type": "public-key" } }), "credential.response"),
    ] {
        let reply = post(&world, SIGN_IN, None, body).await;
        assert_eq!((reply.status, &reply.json()["field"]), (400, &json!(named)));
    }
    let nested = format!("{{\"credential\":{}", "[".repeat(30_000));
    assert_eq!(world.send(super::request("POST", SIGN_IN, None, nested)).await.status, 400);
}
