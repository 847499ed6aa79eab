//! The end of a token on an open connection: told before, put off by a fresh one, and the end of the connection.

use healthmate_protocol::{CloseCode, ErrorCode, ServerMessage, Timestamp};
use serde_json::Value;

use crate::client::{Came, Client};
use crate::server::{StoreKind, TestServer, id};

const LEEWAY_S: u32 = 1;
const WARN_BEFORE_S: u32 = 2;
const GRACE_S: u32 = 1;

/// How late what time brings may come, in milliseconds.
const LATE_MS: i64 = 1_000;

async fn server() -> TestServer {
    TestServer::start_with(StoreKind::Memory, |settings| {
        settings.auth.leeway_s = LEEWAY_S;
        settings.auth.warn_before_s = WARN_BEFORE_S;
        settings.auth.expiry_grace_s = GRACE_S;
    })
    .await
}

/// A token of nora that lives for so many seconds, and when it ends.
fn token(server: &TestServer, seconds: u32) -> (String, Timestamp) {
    let now = server.app.clock.now();
    let token = server.app.verifier.issue(&id("nora"), seconds, now);
    let ends = server.app.verifier.verify(&token, now).expect("good").expires_at;
    (token, ends)
}

/// What comes next, with a word in the place of what is different each time.
async fn shape(client: &mut Client) -> String {
    let frame = match client.come().await {
        Came::Message(envelope) => {
            let mut message: Value = serde_json::from_str(&envelope.to_text()).expect("JSON");
            veil(&mut message);
            return message.to_string();
        }
        Came::Closed(frame) => frame.expect("a close frame"),
    };
    format!("close {} {}", u16::from(frame.code), frame.reason)
}

fn veil(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        match name.as_str() {
            "timestamp" | "expires_at" | "seconds" | "session_id" | "epoch" => *value = name.as_str().into(),
            _ => veil(value),
        }
    }
}

/// It is `due` now, give or take what a busy machine needs.
fn is_due(server: &TestServer, due: Timestamp) {
    let late = server.app.clock.now().millis_since(due);
    assert!((0..LATE_MS).contains(&late), "{late} ms after it was due");
}

/// When a connection that came in at `since` is told that its token ends.
fn told_at(since: Timestamp, ends: Timestamp) -> Timestamp {
    let life = ends.millis_since(since);
    since.plus_millis((life - i64::from(WARN_BEFORE_S) * 1000).max(life / 2))
}

#[tokio::test]
async fn a_fresh_token_keeps_the_connection_and_none_ends_it() {
    let server = server().await;
    let mut client = Client::open(&server.url("/ws/combined")).await;
    let mut seen = Vec::new();
    let authenticate = |token: &str| format!(r#"{{"type":"authenticate","token":"{token}"}}"#);

    let (first, first_ends) = token(&server, 2);
    let since = server.app.clock.now();
    client.send(&authenticate(&first)).await;
    seen.push(shape(&mut client).await);
    seen.push(shape(&mut client).await);
    is_due(&server, told_at(since, first_ends));

    // It is told again of the fresh one, at a time when the first would have ended the connection.
    let (fresh, ends) = token(&server, 6);
    let since = server.app.clock.now();
    client.send(&authenticate(&fresh)).await;
    seen.push(shape(&mut client).await);
    client.subscribe("health:ana", None).await;
    seen.push(shape(&mut client).await);
    is_due(&server, told_at(since, ends));
    let grace = i64::from(LEEWAY_S + GRACE_S) * 1000;
    assert!(server.app.clock.now() > first_ends.plus_millis(grace), "the first is over");
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.next().await.name(), "pong");

    seen.push(shape(&mut client).await);
    is_due(&server, ends.plus_millis(grace));
    seen.push(shape(&mut client).await);
    assert!(seen.last().is_some_and(|close| close.starts_with("close 4505")));
    assert_eq!(CloseCode::TokenEnded.as_u16(), 4505);
    insta::assert_snapshot!(seen.join("\n"), @r#"
    {"data":{"epoch":"epoch","expires_at":"expires_at","role":"nurse","session_id":"session_id","user_id":"nora"},"timestamp":"timestamp","type":"authentication_success"}
    {"data":{"expires_at":"expires_at","seconds":"seconds"},"timestamp":"timestamp","type":"token_expiring"}
    {"data":{"epoch":"epoch","expires_at":"expires_at","role":"nurse","session_id":"session_id","user_id":"nora"},"timestamp":"timestamp","type":"authentication_success"}
    {"data":{"expires_at":"expires_at","seconds":"seconds"},"timestamp":"timestamp","type":"token_expiring"}
    {"data":{"code":"token_expired","message":"the token has ended: connect again with a fresh one","retry":false},"timestamp":"timestamp","type":"authentication_failed"}
    close 4505 the token has ended
    "#);
    server.stop().await;
}

/// What is refused puts nothing off, and ends nothing before its time.
#[tokio::test]
async fn a_token_that_is_refused_does_not_keep_the_connection() {
    let server = server().await;
    let (first, ends) = token(&server, 2);
    let mut client = Client::open(&server.url("/ws/combined")).await;
    client.sign_in(&first).await;
    assert_eq!(client.next().await.name(), "token_expiring");
    for (token, code) in [
        ("nonsense".to_owned(), ErrorCode::TokenMalformed),
        // Good, and somebody else's.
        (server.token("ana"), ErrorCode::AlreadyAuthenticated),
    ] {
        client.send(&format!(r#"{{"type":"authenticate","token":"{token}"}}"#)).await;
        let ServerMessage::Error(error) = client.next().await else { panic!("taken") };
        assert_eq!(error.code, code);
    }
    assert_eq!(client.close_code().await, 4505);
    is_due(&server, ends.plus_millis(i64::from(LEEWAY_S + GRACE_S) * 1000));
    server.stop().await;
}
