//! Stopping.

use std::time::Duration;

use healthmate_protocol::ServerMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{StoreKind, TestServer};

#[tokio::test]
async fn everyone_is_told_to_come_back_and_the_server_ends() {
    let server =
        TestServer::start_with(StoreKind::Memory, |settings| settings.server.reconnects_per_second = 10)
            .await;
    let mut clients = Vec::new();
    for user in ["ana", "ben", "nora", "ada"].into_iter().cycle().take(20) {
        clients.push(server.connect(user).await);
    }
    let (app, address) = (server.app.clone(), server.address());
    let stopping = tokio::spawn(server.stop());
    let mut delays = Vec::new();
    for client in &mut clients {
        let ServerMessage::Reconnect(asked) = client.next().await else { panic!("not asked to come back") };
        delays.push(asked.after_ms);
        assert_eq!(client.close_code().await, 4000);
    }
    delays.sort_unstable();
    // Ten a second, over both shards.
    assert!(delays.windows(2).all(|pair| pair[1] - pair[0] <= 200), "{delays:?}");
    assert!(delays[0] >= 500 && delays[19] >= 500 + 1000, "{delays:?}");
    stopping.await.expect("stopped");
    assert!(!app.is_ready());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_does_not_answer_does_not_keep_the_server() {
    let server = TestServer::start().await;
    // Never read from again: it will not answer the close frame.
    let _silent = server.connect("ana").await;
    let stopped = tokio::time::timeout(Duration::from_secs(10), server.stop()).await;
    assert!(stopped.is_ok(), "still there after the grace time");
}

#[tokio::test]
async fn a_request_that_never_arrives_does_not_keep_the_server() {
    let server = TestServer::start().await;
    let token = server.token("ana");
    let mut stalled = TcpStream::connect(server.address()).await.expect("listening");
    let head = format!(
        "POST /v1/measurements HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stalled.write_all(head.as_bytes()).await.expect("written");
    // Answered on another socket, so the first one has been read too: shards take sockets in turn.
    for _ in 0..2 {
        server.connect("ben").await;
    }
    let stopped = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
    assert!(stopped.is_ok(), "still there");
}

#[tokio::test]
async fn a_request_that_never_arrives_is_told_so() {
    let server =
        TestServer::start_with(StoreKind::Memory, |settings| settings.limits.request_timeout_s = 1).await;
    let token = server.token("ana");
    let mut stalled = TcpStream::connect(server.address()).await.expect("listening");
    let head = format!(
        "POST /v1/measurements HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{"
    );
    stalled.write_all(head.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stalled.read_to_string(&mut answer).await.expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    let counted = server.app.metrics.errors.of(healthmate_protocol::ErrorCode::RequestTimeout).get();
    assert_eq!(counted, 1, "the refusal is counted");
    server.stop().await;
}
