mod passwords;

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use healthmate_care::{AuditOutcome, AuditRecord, By, Clock};
use healthmate_storage::{NewPassword, SignInEnd, SignIns};
use serde_json::{Value, json};

use super::*;
use crate::auth::throttle::Attempt;
use crate::config::Settings;
use crate::http::tests::{NOW, Reply, World, id};

pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.sign_in.argon2_memory_kib = 8192;
    settings.sign_in.argon2_passes = 1;
    settings
}

async fn world() -> World {
    let world = World::with(settings()).await;
    for user in ["ada", "nora", "gone"] {
        set_password(&world, user, PASSWORD).await;
    }
    world
}

pub(super) async fn set_password(world: &World, user: &str, password: &str) {
    let hash = world.app.passwords.hash(password.to_owned()).await.expect("hashed");
    let at = NOW.parse().expect("valid");
    let end = SignInEnd { user: id(user), which: SignIns::All, reason: "test", access_until: at };
    world.app.store.set_password(NewPassword::anyway(hash), end, By::command_line(at)).await.expect("known");
}

pub(super) fn request(method: &str, path: &str, token: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let address: IpAddr = "192.0.2.7".parse().expect("valid");
    request.extension(ClientAddress(address)).body(body.into()).expect("valid")
}

pub(super) async fn post(world: &World, path: &str, token: Option<&str>, body: Value) -> Reply {
    world.send(request("POST", path, token, body.to_string())).await
}

async fn try_login(world: &World, user: &str, password: &str) -> Reply {
    post(world, "/v1/auth/login", None, json!({ "user": user, "password": password })).await
}

/// Access and refresh token of a new sign-in.
pub(super) async fn login(world: &World, user: &str) -> (String, String) {
    tokens(&try_login(world, user, PASSWORD).await)
}

fn tokens(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let of = |name: &str| reply.json()[name].as_str().expect("a token").to_owned();
    (of("access_token"), of("refresh_token"))
}

async fn refresh(world: &World, token: &str) -> Reply {
    post(world, "/v1/auth/refresh", None, json!({ "refresh_token": token })).await
}

async fn me(world: &World, access: &str) -> u16 {
    world.get_with_token("/v1/me", access).await.status
}

#[tokio::test]
async fn a_password_gives_tokens_that_work_and_are_renewed() {
    let world = world().await;
    let body = json!({ "user": "nora", "password": PASSWORD, "label": "Nora's phone" });
    let reply = post(&world, "/v1/auth/login", None, body).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let said = reply.json();
    assert_eq!(
        (&said["user"], &said["role"], &said["expires_in"]),
        (&json!("nora"), &json!("nurse"), &json!(900))
    );
    assert_eq!((&said["token_type"], &said["refresh_expires_in"]), (&json!("Bearer"), &json!(14 * 86_400)));
    let (access, refresh_token) = tokens(&reply);
    assert_eq!(me(&world, &access).await, 200);
    world.clock.advance_millis(906_000);
    assert_eq!(me(&world, &access).await, 401, "a short life");
    let renewed = refresh(&world, &refresh_token).await;
    let (access, next) = tokens(&renewed);
    assert_eq!(renewed.json()["sign_in"], said["sign_in"]);
    assert_ne!(next, refresh_token);
    assert_eq!(me(&world, &access).await, 200);
    let here = world.get_with_token("/v1/auth/sign-ins", &access).await.json();
    let only = &here["sign_ins"][0];
    assert_eq!((&only["label"], &only["address"]), (&json!("Nora's phone"), &json!("192.0.2.7")));
    assert_eq!((&only["current"], &only["method"]), (&json!(true), &json!("password")));
    let trail = world.app.store.audit_after(0, 1000).await.expect("read");
    let signed_in = |record: &&AuditRecord| record.reason.as_deref() == Some("password");
    let record = trail.iter().map(|entry| &entry.record).find(signed_in).expect("a record");
    assert_eq!((record.action.as_str(), record.by.actor.user()), ("sign_in", Some(&id("nora"))));
}

/// One answer, and one hash, for everybody who is not let in: nobody learns who has an account here.
#[tokio::test]
async fn whoever_is_not_let_in_gets_the_same_answer_after_the_same_work() {
    let world = world().await;
    let mut answers = Vec::new();
    let cases = [
        ("nora", "wrong password"),
        ("nobody", PASSWORD),
        ("dora", PASSWORD),
        ("gone", PASSWORD),
        ("nora' OR '1'='1", PASSWORD),
        ("nora\0", PASSWORD),
        ("", PASSWORD),
        (&"n".repeat(5000), PASSWORD),
        ("nora", "correct horse battery\0"),
    ];
    for (user, password) in cases {
        let before = world.app.passwords.count();
        let reply = try_login(&world, user, password).await;
        assert_eq!(world.app.passwords.count(), before + 1, "{user:?}");
        assert_eq!(reply.code(), "sign_in_refused", "{user:?}");
        answers.push((reply.status, reply.body));
        // Others' attempts are not this test's subject.
        for name in [user, "nora"] {
            world.app.throttle.succeeded(&Attempt::new(Some(name), None));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let trail = world.app.store.audit_after(0, 1000).await.expect("read");
    let refused: Vec<_> = trail
        .iter()
        .map(|entry| &entry.record)
        .filter(|record| record.outcome == AuditOutcome::Denied)
        .map(|record| (record.object.as_deref().unwrap_or("-"), record.reason.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        refused[..4],
        [
            ("user:nora", "wrong_password"),
            ("-", "user_unknown"),
            ("user:dora", "no_password"),
            ("user:gone", "user_inactive"),
        ]
    );
    assert!(
        refused[4..8].iter().all(|record| *record == ("-", "user_unknown")),
        "no name that is none is repeated"
    );
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_one_has_to_wait_and_is_told_how_long() {
    let world = world().await;
    for _ in 0..5 {
        assert_eq!(try_login(&world, "nora", "wrong password").await.status, 401, "at the limit");
    }
    let hashed = world.app.passwords.count();
    let reply = try_login(&world, "nora", PASSWORD).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_requests"), "past it");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(world.app.passwords.count(), hashed, "nothing is hashed for it");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(try_login(&world, "nora", "wrong password").await.status, 401);
    assert_eq!(try_login(&world, "nora", PASSWORD).await.header("retry-after"), "2", "twice as long");
    assert_eq!(try_login(&world, "ada", PASSWORD).await.status, 200, "others go on");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(try_login(&world, "nora", PASSWORD).await.status, 200);
    assert_eq!(try_login(&world, "nora", "wrong password").await.status, 401, "and begins anew");
    let unknown = [401, 401, 401, 401, 401, 429];
    for status in unknown {
        assert_eq!(try_login(&world, "nobody", PASSWORD).await.status, status, "like somebody known");
    }
    let metrics = world.get("/metrics", None).await.body;
    assert!(metrics.contains(r#"healthmate_sign_ins_total{result="throttled"} 3"#), "{metrics}");
}

#[tokio::test]
async fn a_replayed_refresh_token_ends_the_whole_sign_in() {
    let world = world().await;
    let (_, first) = login(&world, "nora").await;
    let (other, _) = login(&world, "nora").await;
    let (_, second) = tokens(&refresh(&world, &first).await);
    world.clock.advance_millis(31_000);
    let (access, third) = tokens(&refresh(&world, &second).await);
    assert_eq!(me(&world, &access).await, 200);
    let stolen = refresh(&world, &first).await;
    assert_eq!((stolen.status, stolen.code().as_str()), (401, "token_revoked"));
    assert_eq!(refresh(&world, &third).await.code(), "token_revoked", "for whoever has the newest one, too");
    assert_eq!(world.get_with_token("/v1/me", &access).await.code(), "token_revoked", "at once");
    assert_eq!(me(&world, &other).await, 200, "other sign-ins go on");
    let metrics = world.get("/metrics", None).await.body;
    assert!(metrics.contains(r#"healthmate_sign_ins_total{result="reused"} 1"#));
}

#[tokio::test]
async fn what_is_no_refresh_token_ends_nothing() {
    let world = world().await;
    let (access, good) = login(&world, "nora").await;
    let made_up = RefreshToken::first(RefreshToken::parse(&good).expect("one").sign_in, &*world.clock);
    let unknown = RefreshToken::first(world.clock.uuid(), &*world.clock);
    for (text, code) in [
        (made_up.text(), "token_revoked"),
        (unknown.text(), "token_revoked"),
        (access.clone(), "token_malformed"),
        (good.to_uppercase(), "token_malformed"),
        (format!("{good}="), "token_malformed"),
        (format!("{good}\0"), "token_malformed"),
        ("hmr_' OR 1=1 --_x".to_owned(), "token_malformed"),
        (String::new(), "token_malformed"),
    ] {
        let reply = refresh(&world, &text).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "{text}");
    }
    assert_eq!(refresh(&world, &good).await.status, 200);
    assert_eq!(
        world.get_with_token("/v1/me", &good).await.status,
        401,
        "a refresh token opens nothing itself"
    );
}

#[tokio::test]
async fn signing_out_ends_this_sign_in_or_all_of_them() {
    let world = world().await;
    let (phone, phone_refresh) = login(&world, "nora").await;
    let (laptop, laptop_refresh) = login(&world, "nora").await;
    let reply = post(&world, "/v1/auth/logout", Some(&phone), json!({})).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!((me(&world, &phone).await, me(&world, &laptop).await), (401, 200));
    assert_eq!(refresh(&world, &phone_refresh).await.code(), "token_revoked");
    let (tablet, _) = login(&world, "nora").await;
    let own = world.token("nora");
    let refused = post(&world, "/v1/auth/logout", Some(&own), json!({})).await;
    assert_eq!(refused.code(), "not_found", "a token that belongs to no sign-in");
    assert_eq!(
        post(&world, "/v1/auth/logout", Some(&laptop), json!({ "everywhere": true })).await.status,
        204
    );
    assert_eq!(
        (me(&world, &tablet).await, me(&world, &laptop).await, me(&world, &own).await),
        (401, 401, 200)
    );
    assert_eq!(refresh(&world, &laptop_refresh).await.code(), "token_revoked");
}

#[tokio::test]
async fn one_sign_in_is_ended_from_another_and_nobody_elses() {
    let world = world().await;
    let ((phone, _), (laptop, _), (foreign, _)) =
        (login(&world, "nora").await, login(&world, "nora").await, login(&world, "ada").await);
    let list = world.get_with_token("/v1/auth/sign-ins", &phone).await.json();
    let all = list["sign_ins"].as_array().expect("a list");
    let other =
        all.iter().find(|one| one["current"] == false).expect("the laptop")["id"].as_str().expect("an id");
    let path = format!("/v1/auth/sign-ins/{other}");
    let delete = async |path: &str, token: &str| world.send(request("DELETE", path, Some(token), "")).await;
    assert_eq!(delete(&path, &foreign).await.code(), "not_found");
    assert_eq!(delete("/v1/auth/sign-ins/x'--", &phone).await.code(), "not_found");
    assert_eq!(me(&world, &laptop).await, 200);
    assert_eq!(delete(&path, &phone).await.status, 204);
    assert_eq!(delete(&path, &phone).await.code(), "not_found", "only once");
    assert_eq!((me(&world, &laptop).await, me(&world, &phone).await), (401, 200));
}

#[tokio::test]
async fn a_sign_in_ends_with_its_user_and_by_itself() {
    let world = world().await;
    let (_, token) = login(&world, "nora").await;
    let by = || By::command_line(world.clock.now());
    world.app.store.set_active(&id("nora"), false, by()).await.expect("known");
    assert_eq!(refresh(&world, &token).await.code(), "user_inactive");
    world.app.store.set_active(&id("nora"), true, by()).await.expect("known");
    // It was not exchanged: the answer was a refusal, and the client has no other.
    world.clock.advance_millis(31_000);
    let (_, token) = tokens(&refresh(&world, &token).await);
    world.clock.advance_millis(14 * DAY_MS + 1);
    assert_eq!(refresh(&world, &token).await.code(), "token_expired", "idle for too long");
}

/// Each refusal is on record with its code, and whose it was, where that is known.
#[tokio::test]
async fn refresh_tokens_that_are_refused_are_recorded() {
    let world = world().await;
    let (_, first) = login(&world, "nora").await;
    assert_eq!(refresh(&world, "hmr_nonsense").await.status, 401);
    let by = || By::command_line(world.clock.now());
    world.app.store.set_active(&id("nora"), false, by()).await.expect("known");
    assert_eq!(refresh(&world, &first).await.status, 401);
    world.app.store.set_active(&id("nora"), true, by()).await.expect("known");
    let (_, second) = tokens(&refresh(&world, &first).await);
    world.clock.advance_millis(31_000);
    for token in [&first, &second] {
        assert_eq!(refresh(&world, token).await.code(), "token_revoked");
    }
    let trail = world.app.store.audit_after(0, 1000).await.expect("read");
    let denied = trail.into_iter().map(|entry| entry.record);
    let denied = denied.filter(|record| record.outcome == AuditOutcome::Denied);
    let lines: Vec<_> = denied
        .map(|record| {
            let reason = record.reason.expect("a reason");
            format!("{} {reason} {}", record.action, record.object.unwrap_or_default())
        })
        .collect();
    let expected = [
        "sign_in token_malformed ",
        "sign_in user_inactive user:nora",
        "sign_in token_revoked user:nora",
        "sign_in token_revoked ",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn hostile_bodies_are_refused_by_what_is_wrong_with_them() {
    let world = world().await;
    let login = "/v1/auth/login";
    let refused = async |path: &str, body: String| {
        let reply = world.send(request("POST", path, None, body)).await;
        (reply.status, reply.code())
    };
    let field = |status: u16| (status, "invalid_field".to_owned());
    let malformed = (400, "malformed_json".to_owned());
    assert_eq!(refused(login, String::new()).await, malformed);
    assert_eq!(refused(login, "[".repeat(30_000)).await.0, 400);
    assert_eq!(refused(login, r#"{"user":"nora""#.to_owned()).await, malformed);
    assert_eq!(refused(login, json!({ "user": 1, "password": "x" }).to_string()).await, field(400));
    assert_eq!(refused(login, json!({ "user": "nora" }).to_string()).await, field(400));
    assert_eq!(refused(login, r#"{"user":"a","user":"nora","password":"x"}"#.to_owned()).await, field(400));
    assert_eq!(
        refused(login, json!({ "user": "nora", "password": "x", "role": "admin" }).to_string()).await,
        field(400)
    );
    for password in [String::new(), "x".repeat(129)] {
        assert_eq!(
            refused(login, json!({ "user": "nora", "password": password }).to_string()).await,
            field(400)
        );
    }
    for label in [String::new(), "x".repeat(65), "a\0b".to_owned(), "a\nb".to_owned()] {
        let body = json!({ "user": "nora", "password": PASSWORD, "label": label });
        assert_eq!(refused(login, body.to_string()).await, field(400));
    }
    assert_eq!(refused(login, " ".repeat(2 << 20)).await, field(413));
    assert_eq!(refused("/v1/auth/refresh", json!({ "refresh_token": 7 }).to_string()).await, field(400));
    let form = Request::post(login).header("content-type", "application/x-www-form-urlencoded");
    let form = form.body(Body::from(format!("user=nora&password={PASSWORD}"))).expect("valid");
    assert_eq!(world.send(form).await.status, 415, "no form of another page signs anybody in");
    assert_eq!(world.app.passwords.count(), 3, "for none of it was a password hashed");
}
