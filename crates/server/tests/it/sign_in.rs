//! Signing in and out, and what that does to open connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use healthmate_care::{TokenScope, TokenScopes};
use healthmate_protocol::{ErrorCode, ServerMessage};
use healthmate_storage::{ApiToken, NewPassword, Revocation, Revoked, SignInEnd, SignIns};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, measurement};
use crate::server::{StoreKind, TestServer, by, id};

const PASSWORD: &str = "correct horse battery";

/// How soon what is taken back ends open connections.
const SOON: Duration = Duration::from_secs(1);

async fn server() -> TestServer {
    let server = TestServer::start_with(StoreKind::Sqlite, |settings| {
        settings.sign_in.argon2_memory_kib = 8192;
        settings.sign_in.argon2_passes = 1;
    })
    .await;
    let app = &server.app;
    let hash = app.passwords.hash(PASSWORD.to_owned()).await.expect("hashed");
    let access_until = app.clock.now();
    let end = SignInEnd { user: id("nora"), which: SignIns::All, reason: "test", access_until };
    app.store.set_password(NewPassword::anyway(hash), end, by()).await.expect("known");
    server
}

/// The status and the body of a request.
async fn post(server: &TestServer, path: &str, token: Option<&str>, body: Value) -> (u16, Value) {
    let body = body.to_string();
    let authorization = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{authorization}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    let status = text.split(' ').nth(1).expect("a status").parse().expect("a number");
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_default())
}

async fn login(server: &TestServer) -> (String, String) {
    let body = json!({ "user": "nora", "password": PASSWORD });
    let (status, said) = post(server, "/v1/auth/login", None, body).await;
    assert_eq!(status, 200, "{said}");
    let of = |name: &str| said[name].as_str().expect("a token").to_owned();
    (of("access_token"), of("refresh_token"))
}

async fn connect(server: &TestServer, token: &str) -> Client {
    let mut client = Client::open(&server.url("/ws/combined")).await;
    client.sign_in(token).await;
    client
}

/// The connection is told that its token was taken back, and ends within a second of `since`.
async fn ends(client: &mut Client, since: Instant) {
    loop {
        if let ServerMessage::AuthenticationFailed(failed) = client.next().await {
            assert_eq!((failed.code, failed.retry), (ErrorCode::TokenRevoked, false));
            break;
        }
    }
    assert_eq!(client.close_code().await, 4500);
    let took = since.elapsed();
    assert!(took < SOON, "it took {took:?}");
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[tokio::test]
async fn signing_out_ends_the_connections_of_that_sign_in_within_a_second() {
    let server = server().await;
    let ((phone, _), (laptop, _)) = (login(&server).await, login(&server).await);
    let (mut on_phone, mut on_laptop) = (connect(&server, &phone).await, connect(&server, &laptop).await);
    on_phone.subscribe("health:ana", None).await;
    let since = now();
    assert_eq!(post(&server, "/v1/auth/logout", Some(&phone), json!({})).await.0, 204);
    ends(&mut on_phone, since).await;
    on_laptop.subscribe("health:ana", None).await;
    let mut again = Client::open(&server.url("/ws/combined")).await;
    again.send(&format!(r#"{{"type":"authenticate","token":"{phone}"}}"#)).await;
    let ServerMessage::AuthenticationFailed(failed) = again.next().await else { panic!("let in") };
    assert_eq!(failed.code, ErrorCode::TokenRevoked);
    server.stop().await;
}

#[tokio::test]
async fn a_replayed_refresh_token_ends_the_connections_of_its_sign_in() {
    let server = server().await;
    let (access, first) = login(&server).await;
    let mut client = connect(&server, &access).await;
    let mut token = first.clone();
    for _ in 0..2 {
        let (status, said) = post(&server, "/v1/auth/refresh", None, json!({ "refresh_token": token })).await;
        assert_eq!(status, 200, "{said}");
        token = said["refresh_token"].as_str().expect("a token").to_owned();
    }
    let since = now();
    assert_eq!(post(&server, "/v1/auth/refresh", None, json!({ "refresh_token": first })).await.0, 401);
    ends(&mut client, since).await;
    server.stop().await;
}

/// As another process does it: `healthmate token revoke` writes into the store, and no more.
#[tokio::test]
async fn what_another_process_takes_back_ends_connections_too() {
    let server = server().await;
    let (access, _) = login(&server).await;
    let mut client = connect(&server, &access).await;
    let claims = server.app.verifier.verify(&access, server.app.clock.now()).expect("good");
    let what = Revoked::Token(claims.id.expect("a name").into());
    let revocation = Revocation { what, until: claims.expires_at };
    let since = now();
    server.app.store.revoke_token(&id("nora"), revocation, by()).await.expect("written");
    ends(&mut client, since).await;
    server.stop().await;
}

/// Issues one by the routes of the API.
async fn api_token(server: &TestServer, scope: TokenScope) -> (uuid::Uuid, String) {
    let body = json!({ "name": "watch", "scopes": [scope.as_str()] });
    let path = "/v1/users/watch-ana/tokens";
    let (status, said) = post(server, path, Some(&server.token("ana")), body).await;
    assert_eq!(status, 201, "{said}");
    let id = said["id"].as_str().expect("an id").parse().expect("a UUID");
    (id, said["token"].as_str().expect("a token").to_owned())
}

#[tokio::test]
async fn an_api_token_opens_its_part_of_a_connection_until_it_is_revoked() {
    let server = server().await;
    let ((name, to_write), (_, to_read)) = (
        api_token(&server, TokenScope::WriteMeasurements).await,
        api_token(&server, TokenScope::ReadMeasurements).await,
    );
    let mut scale = connect(&server, &to_write).await;
    scale.record([1]).await;
    scale.send(r#"{"type":"subscribe","topic":"health:ana"}"#).await;
    let ServerMessage::SubscriptionDenied(denied) = scale.next().await else { panic!("granted") };
    assert_eq!(denied.code, ErrorCode::AccessDenied);
    scale.send(r#"{"type":"get_health_data"}"#).await;
    let ServerMessage::Error(error) = scale.next().await else { panic!("read") };
    assert_eq!(error.code, ErrorCode::AccessDenied);

    let mut screen = connect(&server, &to_read).await;
    screen.subscribe("health:ana", None).await;
    screen.send(&format!(r#"{{"type":"health_update","batch":[{}]}}"#, measurement(1))).await;
    let ServerMessage::Error(error) = screen.next().await else { panic!("written") };
    assert_eq!(error.code, ErrorCode::AccessDenied);

    let since = now();
    server.app.store.revoke_api_token(&id("watch-ana"), name, by()).await.expect("there");
    ends(&mut scale, since).await;
    screen.send(r#"{"type":"ping"}"#).await;
    assert_eq!(screen.next().await.name(), "pong", "the other one goes on");
    let app = Arc::clone(&server.app);
    server.stop().await;
    // All that was refused is on record.
    let trail = app.store.audit_after(0, 1000).await.expect("read");
    let records = trail.iter().map(|entry| &entry.record);
    let denied = records.filter(|record| record.reason.as_deref() == Some("token_scope"));
    let denied =
        denied.map(|record| format!("{} {}", record.action, record.object.as_deref().unwrap_or("-")));
    assert_eq!(
        denied.collect::<Vec<_>>(),
        ["subscribe health:ana", "read measurements", "write measurements"]
    );
}

/// What the connection came in with goes on to count: neither its scopes nor its end are put off by another's token.
#[tokio::test]
async fn a_token_of_somebody_else_takes_no_place_of_the_connections_own() {
    let server = server().await;
    let (name, to_write) = api_token(&server, TokenScope::WriteMeasurements).await;
    let mut scale = connect(&server, &to_write).await;
    scale.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
    let ServerMessage::Error(error) = scale.next().await else { panic!("taken") };
    assert_eq!(error.code, ErrorCode::AlreadyAuthenticated);
    scale.send(r#"{"type":"subscribe","topic":"health:ana"}"#).await;
    let ServerMessage::SubscriptionDenied(denied) = scale.next().await else { panic!("granted") };
    assert_eq!(denied.code, ErrorCode::AccessDenied);
    let since = now();
    server.app.store.revoke_api_token(&id("watch-ana"), name, by()).await.expect("there");
    ends(&mut scale, since).await;
    server.stop().await;
}

/// An end that is given is the end of the connection.
#[tokio::test]
async fn an_api_token_that_has_ended_lets_nobody_in() {
    let server = server().await;
    let (name, text) = api_token(&server, TokenScope::WriteMeasurements).await;
    let (held, hash) = server.app.store.api_token(name).await.expect("read").expect("there");
    assert_eq!(
        (held.expires_at, held.scopes),
        (None, TokenScopes::from_iter([TokenScope::WriteMeasurements]))
    );
    let ended = ApiToken { id: uuid::Uuid::nil(), expires_at: Some(server.app.clock.now()), ..held };
    server.app.store.add_api_token(ended, hash, by()).await.expect("new");
    let mut client = Client::open(&server.url("/ws/combined")).await;
    // After the prefix and the id.
    let secret = &text[37..];
    let nil = uuid::Uuid::nil().simple();
    client.send(&format!(r#"{{"type":"authenticate","token":"hmt_{nil}_{secret}"}}"#)).await;
    let ServerMessage::AuthenticationFailed(failed) = client.next().await else { panic!("let in") };
    assert_eq!(failed.code, ErrorCode::TokenExpired);
    server.stop().await;
}
