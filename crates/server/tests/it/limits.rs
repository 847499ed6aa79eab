//! What a client may not do, and how it is told.

use futures_util::SinkExt;
use healthmate_protocol::{ErrorCode, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::server::{StoreKind, TestServer};

#[tokio::test]
async fn a_message_at_the_limit_is_heard_and_one_past_it_closes() {
    let server = TestServer::start().await;
    let mut ana = server.connect("ana").await;
    let padded = |bytes: usize| {
        let text = r#"{"type":"ping"}"#;
        format!("{text}{}", " ".repeat(bytes - text.len()))
    };
    ana.send(&padded(65_536)).await;
    assert_eq!(ana.next().await.name(), "pong");
    ana.send(&padded(65_537)).await;
    assert_eq!(ana.close_code().await, 1009);
    server.stop().await;
}

#[tokio::test]
async fn binary_messages_close_with_1003() {
    let server = TestServer::start().await;
    let mut ana = server.connect("ana").await;
    ana.socket.send(Message::binary(vec![1, 2, 3])).await.expect("written");
    assert_eq!(ana.close_code().await, 1003);
    server.stop().await;
}

#[tokio::test]
async fn an_unmasked_frame_closes_with_1002() {
    let server = TestServer::start().await;
    let mut ana = server.connect("ana").await;
    let raw = ana.socket.get_mut();
    raw.write_all(b"\x81\x02{}").await.expect("written");
    let mut received = Vec::new();
    raw.read_to_end(&mut received).await.expect("closed");
    assert_eq!(&received[2..4], 1002u16.to_be_bytes());
    server.stop().await;
}

#[tokio::test]
async fn nonsense_is_answered_and_forgiven() {
    let server = TestServer::start().await;
    let mut ana = server.connect("ana").await;
    for (text, code) in [
        ("", ErrorCode::MalformedJson),
        ("[1,2]", ErrorCode::MalformedJson),
        (r#"{"type":"launch_missiles"}"#, ErrorCode::UnknownType),
        (r#"{"type":7}"#, ErrorCode::InvalidField),
        (
            r#"{"type":"health_update","data":{"metric":"heart_rate","value":1e999,"unit":"bpm","taken_at":"2026-01-01T00:00:00Z"}}"#,
            ErrorCode::MalformedJson,
        ),
        (
            r#"{"type":"health_update","data":{"metric":"heart_rate","value":7000,"unit":"bpm","taken_at":"2026-01-01T00:00:00Z"}}"#,
            ErrorCode::ImplausibleValue,
        ),
    ] {
        ana.send(text).await;
        let ServerMessage::Error(error) = ana.next().await else { panic!("{text}") };
        assert_eq!(error.code, code, "{text}");
    }
    // Depth costs nothing where it is skipped, and is refused where it would be read.
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    ana.send(&format!(r#"{{"type":"ping","unknown":{nested}}}"#)).await;
    assert_eq!(ana.next().await.name(), "pong");
    ana.send(&format!(r#"{{"type":"health_update","batch":{nested}}}"#)).await;
    assert_eq!(ana.next().await.name(), "error");
    ana.send(r#"{"type":"ping"}"#).await;
    assert_eq!(ana.next().await.name(), "pong");
    server.stop().await;
}

#[tokio::test]
async fn a_user_holds_five_connections_and_the_sixth_is_told_so() {
    let server = TestServer::start().await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(server.connect("ana").await);
    }
    let mut sixth = Client::open(&server.url("/ws/health")).await;
    sixth.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
    let ServerMessage::AuthenticationFailed(failed) = sixth.next().await else {
        panic!("a sixth was admitted")
    };
    assert_eq!(failed.code, ErrorCode::TooManyConnections);
    assert_eq!(sixth.close_code().await, 4502);
    server.connect("ben").await;
    // A place is free when the server has let go of a connection: its close frame says so.
    let mut first = held.remove(0);
    first.socket.close(None).await.expect("closed");
    while !matches!(first.come().await, crate::client::Came::Closed(_)) {}
    let mut again = Client::open(&server.url("/ws/health")).await;
    loop {
        again.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
        match again.come().await {
            crate::client::Came::Message(envelope) if envelope.message.name() == "authentication_success" => {
                break;
            }
            _ => again = Client::open(&server.url("/ws/health")).await,
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_oldest_connection_makes_room_where_the_setting_says_so() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.connections_per_user = 2;
        settings.limits.replace_oldest = true;
    })
    .await;
    let mut oldest = server.connect("ana").await;
    let mut second = server.connect("ana").await;
    let mut third = server.connect("ana").await;
    assert_eq!(oldest.close_code().await, 4503);
    for client in [&mut second, &mut third] {
        client.send(r#"{"type":"ping"}"#).await;
        assert_eq!(client.next().await.name(), "pong");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_and_commands_are_limited_by_rate() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.connections_per_second = 1;
        settings.limits.commands_per_second = 1;
    })
    .await;
    let mut ana = Client::open(&server.url("/ws/health")).await;
    let _second = Client::open(&server.url("/ws/health")).await;
    let third = Client::try_open(&server.url("/ws/health"), &[]).await.err().expect("refused");
    assert!(third.to_string().contains("503"), "{third}");
    let metrics = server.app.metrics.encode();
    assert!(metrics.contains("healthmate_connections_refused_total{reason=\"rate\"} 1\n"), "{metrics}");
    ana.sign_in(&server.token("ana")).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        ana.send(r#"{"type":"ping"}"#).await;
        answers.push(ana.next().await.name());
    }
    assert_eq!(answers, ["pong", "pong", "error"]);
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_gone() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.ping_after_s = 1;
        settings.limits.gone_after_s = 2;
    })
    .await;
    let ana = server.connect("ana").await;
    // Below the WebSocket, so that nobody answers the ping.
    let mut raw = ana.socket.into_inner();
    let mut received = Vec::new();
    raw.read_to_end(&mut received).await.expect("closed");
    let close = received.windows(2).rposition(|pair| pair == 4002u16.to_be_bytes());
    assert!(received.starts_with(&[0x89, 0]) && close.is_some(), "a ping, then 4002: {received:?}");
    server.stop().await;
}

/// A client that asks and does not read is not heard until it reads, so that it cannot fill the server's memory.
#[tokio::test]
async fn who_does_not_read_answers_is_held_back() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.queued_bytes_per_connection = 65_536;
    })
    .await;
    let ana = Client::open(&server.url("/ws/health")).await;
    let (mut write, mut read) = futures_util::StreamExt::split(ana.socket);
    let count = 60_000;
    let asking = tokio::spawn(async move {
        for _ in 0..count {
            write.feed(Message::text(r#"{"type":"ping"}"#)).await.expect("the server reads, in time");
        }
        write.flush().await.expect("written");
    });
    let mut answers = 0;
    while answers < count {
        match futures_util::StreamExt::next(&mut read).await {
            Some(Ok(Message::Text(_))) => answers += 1,
            other => panic!("{other:?}"),
        }
    }
    asking.await.expect("all asked");
    server.stop().await;
}
