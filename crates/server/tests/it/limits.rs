//! What a client may not do, and how it is told.

use futures_util::SinkExt;
use healthmate_protocol::{ErrorCode, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::server::TestServer;

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

/// A client that asks and does not read is not heard until it reads, so that it cannot fill the server's memory.
#[tokio::test]
async fn who_does_not_read_answers_is_held_back() {
    let server = TestServer::start_with(crate::server::StoreKind::Memory, |settings| {
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
