//! Handshakes that are not WebSocket, not here, or not allowed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::server::{StoreKind, TestServer};

/// Sends a raw request head and returns the answer's head and body.
async fn ask(server: &TestServer, head: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.expect("listening");
    let request = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn head(extra: &str) -> String {
    format!(
        "GET /ws/health HTTP/1.1\nHost: example.test\nUpgrade: websocket\nConnection: Upgrade\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n{extra}"
    )
}

#[tokio::test]
async fn each_wrong_handshake_gets_its_status_and_reason() {
    let server = TestServer::start().await;
    let version = "Sec-WebSocket-Version: 13";
    let cases = [
        (head(version), "101", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (head("Sec-WebSocket-Version: 8"), "426", "sec-websocket-version: 13"),
        (head(""), "400", "sec-websocket-version"),
        (head(version).replace("GET", "POST"), "405", "allow: GET"),
        (head(version).replace("dGhl", "!"), "400", "sec-websocket-key"),
        (head(version).replace("/ws/health", "/ws/nowhere"), "404", "/ws/combined"),
        ("GET /ws/health HTTP/1.1\nHost: example.test".to_owned(), "426", "websocket client"),
        (head(&format!("{version}\nOrigin: https://evil.test")), "403", "allowed_origins"),
        (head(&format!("{version}\nOrigin: https://example.test")), "101", ""),
        (head(&format!("{version}\nOrigin: null")), "403", "allowed_origins"),
    ];
    for (request, status, contains) in cases {
        let answer = ask(&server, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{answer}");
        assert!(answer.contains(contains), "{request}\n{answer}");
        if !status.starts_with('1') {
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
    }
    server.stop().await;
}

/// A masked text frame with a `ping` command. The mask is zeros, which the RFC allows.
fn ping_frame() -> Vec<u8> {
    let text = br#"{"type":"ping"}"#;
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_slice()].concat()
}

/// However the request comes, and whoever parses it, the WebSocket is the same; what was sent behind the request is
/// not lost.
#[tokio::test]
async fn a_handshake_may_come_in_pieces_or_with_much_else() {
    let server = TestServer::start().await;
    let plain = head("Sec-WebSocket-Version: 13");
    let crowded = (0..50).fold(plain.clone(), |head, number| format!("{head}\nX-{number}: {number}"));
    for (request, piece) in
        [(&plain, usize::MAX), (&plain, 40), (&plain, 1), (&crowded, usize::MAX), (&crowded, 100)]
    {
        let mut stream = TcpStream::connect(server.address()).await.expect("listening");
        stream.set_nodelay(true).expect("set");
        let mut bytes = format!("{}\r\n\r\n", request.replace('\n', "\r\n")).into_bytes();
        bytes.extend(ping_frame());
        for piece in bytes.chunks(piece.min(bytes.len())) {
            stream.write_all(piece).await.expect("written");
        }
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("\"type\":\"pong\"") {
            assert_ne!(stream.read_buf(&mut answer).await.expect("open"), 0, "closed");
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.contains("connection_established"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn listed_origins_may_connect() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.server.allowed_origins = vec!["https://app.example.org".to_owned()];
    })
    .await;
    let request = head("Sec-WebSocket-Version: 13\nOrigin: https://app.example.org");
    assert!(ask(&server, &request).await.starts_with("HTTP/1.1 101 "));
    server.stop().await;
}

#[tokio::test]
async fn a_silent_handshake_is_closed() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.handshake_timeout_s = 1;
    })
    .await;
    let mut silent = TcpStream::connect(server.address()).await.expect("listening");
    let mut slow = TcpStream::connect(server.address()).await.expect("listening");
    slow.write_all(b"GET /ws/health HTTP/1.1\r\nHost: ex").await.expect("written");
    for stream in [&mut silent, &mut slow] {
        // The end of the stream is what is waited for; a 408 may come before it.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("closed in order");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_full_node_answers_503_before_the_upgrade() {
    let server =
        TestServer::start_with(StoreKind::Memory, |settings| settings.limits.max_connections = 2).await;
    let mut first = server.connect("ana").await;
    let _second = server.connect("ana").await;
    let request = head("Sec-WebSocket-Version: 13");
    let answer = ask(&server, &request).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after"), "{answer}");
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    first.socket.close(Some(normal)).await.expect("closed");
    assert_eq!(first.close_code().await, 1000);
    // The place is free once the server has let go of the socket: ask until it has.
    while !ask(&server, &request).await.starts_with("HTTP/1.1 101 ") {}
    server.stop().await;
}
