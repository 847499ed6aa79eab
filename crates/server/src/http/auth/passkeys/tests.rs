use healthmate_care::{AuditRecord, By, Clock};
use serde_json::{Value, json};

use crate::config::Settings;
use crate::http::auth::tests::{PASSWORD, login, post, request, set_password, settings};
use crate::http::tests::{Failing, Reply, World, id};
use authenticator::{Authenticator, Key, ORIGIN, RP_ID, base64url};

mod authenticator;
mod hostile;

const PASSKEYS: &str = "/v1/auth/passkeys";
const OPTIONS: &str = "/v1/auth/passkeys/options";
const SIGN_IN: &str = "/v1/auth/passkeys/sign-in";
const SIGN_IN_OPTIONS: &str = "/v1/auth/passkeys/sign-in/options";

fn with_passkeys() -> Settings {
    let mut settings = settings();
    settings.auth.passkeys.rp_id = Some(RP_ID.to_owned());
    settings.auth.passkeys.origins = vec![ORIGIN.to_owned()];
    settings
}

async fn world() -> World {
    let world = World::with(with_passkeys()).await;
    for user in ["ada", "nora"] {
        set_password(&world, user, PASSWORD).await;
    }
    world
}

async fn options(world: &World, token: &str) -> Value {
    let reply = post(world, OPTIONS, Some(token), json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

async fn register(world: &World, token: &str, credential: Value) -> Reply {
    post(world, PASSKEYS, Some(token), json!({ "name": "Phone", "credential": credential })).await
}

/// A passkey of the user who has this token.
async fn registered(world: &World, token: &str, key: Key) -> Authenticator {
    let mut passkey = Authenticator::new(key);
    let credential = passkey.create(&options(world, token).await);
    let reply = register(world, token, credential).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    passkey
}

async fn sign_in_options(world: &World) -> Value {
    let reply = world.send(request("POST", SIGN_IN_OPTIONS, None, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

async fn sign_in(world: &World, passkey: &Authenticator) -> Reply {
    let credential = passkey.get(&sign_in_options(world).await);
    post(world, SIGN_IN, None, json!({ "credential": credential, "label": "A test" })).await
}

async fn list(world: &World, token: &str) -> Vec<Value> {
    world.get_with_token(PASSKEYS, token).await.json()["passkeys"].as_array().expect("a list").clone()
}

/// The newest record of the trail.
async fn last(world: &World) -> AuditRecord {
    world.app.store.audit_after(0, 10_000).await.expect("read").pop().expect("a record").record
}

#[tokio::test]
async fn the_options_are_what_browsers_take() {
    let world = world().await;
    let (token, _) = login(&world, "nora").await;
    let passkey = registered(&world, &token, Key::es256(1)).await;
    let reply = post(&world, OPTIONS, Some(&token), json!({})).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let mut options = reply.json();
    assert_eq!(options["challenge"].as_str().map(str::len), Some(75));
    assert_eq!(options["user"]["id"], base64url(&passkey.user_handle), "the same each time");
    options["challenge"] = json!("…");
    options["user"]["id"] = json!("…");
    assert_eq!(
        options,
        json!({
            "rp": { "id": RP_ID, "name": "HealthMate" },
            "user": { "id": "…", "name": "nora", "displayName": "Nora" },
            "challenge": "…",
            "pubKeyCredParams": [
                { "type": "public-key", "alg": -7 },
                { "type": "public-key", "alg": -8 },
                { "type": "public-key", "alg": -257 },
            ],
            "timeout": 300_000,
            "excludeCredentials": [{ "type": "public-key", "id": base64url(&passkey.id) }],
            "authenticatorSelection":
                { "residentKey": "required", "requireResidentKey": true, "userVerification": "required" },
            "attestation": "none",
        })
    );
    let mut options = sign_in_options(&world).await;
    options["challenge"] = json!("…");
    let expected =
        json!({ "challenge": "…", "rpId": RP_ID, "timeout": 300_000, "userVerification": "required" });
    assert_eq!(options, expected);
}

#[tokio::test]
async fn a_passkey_of_each_algorithm_is_registered_signs_in_and_is_removed() {
    let world = world().await;
    for (key, algorithm) in [(Key::es256(1), -7), (Key::ed_dsa(2), -8), (Key::rs256(), -257)] {
        let (token, _) = login(&world, "nora").await;
        let passkey = registered(&world, &token, key).await;
        let held = world.app.store.passkey(&passkey.id).await.expect("read").expect("there");
        assert_eq!((held.algorithm, held.counter), (algorithm, 0));
        assert_eq!(last(&world).await.object.as_deref(), Some("user:nora/passkey"));
        let listed = list(&world, &token).await;
        let path = format!("{PASSKEYS}/{}", listed[0]["id"].as_str().expect("an id"));
        let expected =
            json!([{ "id": base64url(&passkey.id), "name": "Phone", "created_at": listed[0]["created_at"] }]);
        assert_eq!(json!(listed), expected);

        let reply = sign_in(&world, &passkey).await;
        assert_eq!((reply.status, &reply.json()["user"]), (200, &json!("nora")), "{}", reply.body);
        let access = reply.json()["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(world.get_with_token("/v1/me", &access).await.json()["id"], "nora");
        let refreshed = json!({ "refresh_token": reply.json()["refresh_token"] });
        assert_eq!(post(&world, "/v1/auth/refresh", None, refreshed).await.status, 200);
        let here = world.get_with_token("/v1/auth/sign-ins", &access).await.json()["sign_ins"].clone();
        let here: Vec<_> =
            here.as_array().expect("a list").iter().filter(|one| one["current"] == true).collect();
        assert_eq!((&here[0]["method"], &here[0]["label"]), (&json!("passkey"), &json!("A test")));
        assert_eq!(list(&world, &access).await[0]["last_used_at"], listed[0]["created_at"]);

        assert_eq!(world.send(request("DELETE", &path, Some(&access), "")).await.status, 204);
        assert_eq!(last(&world).await.action.as_str(), "credential_revoked");
        assert_eq!(world.send(request("DELETE", &path, Some(&access), "")).await.code(), "not_found");
        assert_eq!(sign_in(&world, &passkey).await.code(), "sign_in_refused");
        assert_eq!(last(&world).await.reason.as_deref(), Some("passkey_unknown"));
        assert_eq!(list(&world, &access).await, Vec::<Value>::new());
    }
}

/// Authenticators say more than is needed: attestation of a model, extensions, and that a passkey is backed up.
#[tokio::test]
async fn what_authenticators_add_is_read_over() {
    use authenticator::{bytes, head, int, map, text};
    let world = world().await;
    let (token, _) = login(&world, "nora").await;
    let mut passkey = Authenticator::new(Key::es256(9));
    let chain = [head(4, 2), bytes(&[0x30; 700]), bytes(&[0x30; 900])].concat();
    let statement = [(text("alg"), int(-7)), (text("sig"), bytes(&[1; 70])), (text("x5c"), chain)];
    passkey.attestation = ("packed", map(&statement));
    passkey.extensions = map(&[(text("credProtect"), int(2)), (text("hmac-secret"), vec![0xf5])]);
    passkey.flags |= 0b11000;
    passkey.said_besides =
        json!({ "other_keys_can_be_added_here": "do not compare clientDataJSON against a template" });
    let credential = passkey.create(&options(&world, &token).await);
    assert_eq!(register(&world, &token, credential).await.status, 201);
    assert_eq!(sign_in(&world, &passkey).await.status, 200);
}

#[tokio::test]
async fn adding_a_passkey_needs_a_fresh_sign_in_or_the_password() {
    let world = world().await;
    let (token, refresh) = login(&world, "nora").await;
    world.clock.advance_millis(599_999);
    assert_eq!(post(&world, OPTIONS, Some(&token), json!({})).await.status, 200);
    world.clock.advance_millis(1);
    let renewed = post(&world, "/v1/auth/refresh", None, json!({ "refresh_token": refresh })).await.json();
    let renewed = renewed["access_token"].as_str().expect("a token").to_owned();
    for old in [&token, &renewed, &world.token("nora"), &world.token("dora")] {
        let reply = post(&world, OPTIONS, Some(old), json!({})).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "sign_in_too_old"));
        assert_eq!(reply.json()["field"], "password");
    }
    let confirmed = json!({ "password": PASSWORD });
    assert_eq!(post(&world, OPTIONS, Some(&token), confirmed.clone()).await.status, 200);
    assert_eq!(post(&world, OPTIONS, Some(&world.token("dora")), confirmed).await.code(), "sign_in_refused");
    for password in [String::new(), "x".repeat(129)] {
        let reply = post(&world, OPTIONS, Some(&token), json!({ "password": password })).await;
        assert_eq!(reply.code(), "invalid_field");
    }
    for _ in 0..5 {
        let reply = post(&world, OPTIONS, Some(&token), json!({ "password": "wrong password" })).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "sign_in_refused"));
    }
    assert_eq!(last(&world).await.reason.as_deref(), Some("wrong_password"));
    let again = post(&world, OPTIONS, Some(&token), json!({ "password": PASSWORD })).await;
    assert_eq!((again.status, again.header("retry-after")), (429, "1"), "throttled like a sign-in");
}

/// The demo gives its tokens to anybody; with the same settings, nobody else is let off.
#[tokio::test]
async fn a_demo_lets_its_own_users_add_passkeys() {
    let world = World::demo().await;
    assert_eq!(options(&world, &world.token("demo-nurse")).await["rp"]["id"], "localhost");
    assert_eq!(post(&world, OPTIONS, Some(&world.token("nora")), json!({})).await.code(), "sign_in_too_old");
}

#[tokio::test]
async fn a_passkey_is_its_users_alone() {
    let world = world().await;
    let ((nora, _), (ada, _)) = (login(&world, "nora").await, login(&world, "ada").await);
    let mut passkey = registered(&world, &nora, Key::es256(1)).await;
    let theirs = passkey.create(&options(&world, &ada).await);
    let taken = register(&world, &ada, theirs).await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "invalid_field"));
    assert_eq!(last(&world).await.reason.as_deref(), Some("passkey_exists"));
    let again = passkey.create(&options(&world, &nora).await);
    assert_eq!(register(&world, &nora, again).await.status, 409);
    let path = format!("{PASSKEYS}/{}", base64url(&passkey.id));
    assert_eq!(world.send(request("DELETE", &path, Some(&ada), "")).await.code(), "not_found");
    assert_eq!(
        world.send(request("DELETE", &format!("{PASSKEYS}/x'--"), Some(&ada), "")).await.code(),
        "not_found"
    );
    assert_eq!((list(&world, &ada).await.len(), list(&world, &nora).await.len()), (0, 1));
    assert_eq!(sign_in(&world, &passkey).await.json()["user"], "nora");
}

#[tokio::test]
async fn a_user_has_twenty_passkeys_at_most() {
    let world = world().await;
    let (token, _) = login(&world, "nora").await;
    let mut late = Authenticator::new(Key::es256(99));
    let late = late.create(&options(&world, &token).await);
    for seed in 1..=20 {
        registered(&world, &token, Key::es256(seed)).await;
    }
    let refused = post(&world, OPTIONS, Some(&token), json!({})).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_requests"));
    assert_eq!(register(&world, &token, late).await.status, 429, "asked for before");
}

#[tokio::test]
async fn where_passkeys_are_off_nobody_comes_in_and_ones_own_can_be_removed() {
    let mut off = with_passkeys();
    off.auth.passkeys.enabled = false;
    for settings in [settings(), off] {
        let world = World::with(settings).await;
        set_password(&world, "nora", PASSWORD).await;
        let (token, _) = login(&world, "nora").await;
        let mut passkey = Authenticator::new(Key::es256(1));
        let credential = passkey.create(&json!({ "challenge": "AA", "user": { "id": "AA" } }));
        for (path, body) in [
            (OPTIONS, json!({})),
            (PASSKEYS, json!({ "name": "Phone", "credential": credential })),
            (SIGN_IN_OPTIONS, json!({})),
            (SIGN_IN, json!({ "credential": passkey.get(&json!({ "challenge": "AA" })) })),
        ] {
            let reply = post(&world, path, Some(&token), body).await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
        }
        assert_eq!(list(&world, &token).await, Vec::<Value>::new());
        let path = format!("{PASSKEYS}/AAAA");
        assert_eq!(world.send(request("DELETE", &path, Some(&token), "")).await.code(), "not_found");
    }
}

#[tokio::test]
async fn a_passkey_of_a_disabled_user_lets_nobody_in() {
    let world = world().await;
    let (token, _) = login(&world, "nora").await;
    let passkey = registered(&world, &token, Key::es256(1)).await;
    let by = || By::command_line(world.clock.now());
    world.app.store.set_active(&id("nora"), false, by()).await.expect("known");
    let refused = sign_in(&world, &passkey).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "sign_in_refused"));
    let record = last(&world).await;
    assert_eq!(
        (record.reason.as_deref(), record.object.as_deref()),
        (Some("user_inactive"), Some("user:nora"))
    );
    world.app.store.set_active(&id("nora"), true, by()).await.expect("known");
    assert_eq!(sign_in(&world, &passkey).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_from_an_address_waits_after_twenty_wrong_ones() {
    let world = world().await;
    let stranger = Authenticator::new(Key::es256(7));
    for _ in 0..20 {
        assert_eq!(sign_in(&world, &stranger).await.code(), "sign_in_refused");
    }
    let refused = sign_in(&world, &stranger).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(sign_in(&world, &stranger).await.status, 401);
    let metrics = world.get("/metrics", None).await.body;
    assert!(metrics.contains(r#"healthmate_sign_ins_total{result="throttled"} 1"#), "{metrics}");
}

/// What cannot be written lets nobody in, and is no wrong attempt.
#[tokio::test]
async fn a_store_that_cannot_be_written_is_503() {
    let world = World::failing_with(with_passkeys(), Failing::Unavailable).await;
    let stranger = Authenticator::new(Key::es256(7));
    for _ in 0..25 {
        assert_eq!(sign_in(&world, &stranger).await.status, 503);
    }
}
