//! Handshakes from web pages of others, and with what was not asked for.

use super::{exchange, serves_on, start, status};

fn handshake(extra: &str) -> Vec<u8> {
    let head = format!(
        "GET /ws/combined HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    );
    // A close frame, so that the server ends what it accepts.
    [head.as_bytes(), b"\x88\x80\0\0\0\0"].concat()
}

#[tokio::test]
async fn a_web_page_of_somebody_else_gets_no_socket() {
    let server =
        start(|settings| settings.server.allowed_origins = vec!["https://ok.example".to_owned()]).await;
    for (origin, expected) in [
        ("https://app.example", 101),
        ("https://APP.EXAMPLE", 101),
        ("https://ok.example", 101),
        ("https://ok.example:443", 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("file://", 403),
        ("http://ok.example", 403),
        ("https://ok.example:8443", 403),
        ("https://app.example:8443", 403),
        ("https://ok.example.evil.example", 403),
        ("https://evil-ok.example", 403),
        ("https://sub.ok.example", 403),
        ("https://ok.example@evil.example", 403),
        ("https://ok.example/", 403),
        ("https://ok.example%00.evil.example", 403),
        ("https://ok.ex\u{430}mple", 400),
        ("https://app.example https://evil.example", 403),
        ("", 403),
    ] {
        let answer = exchange(&server, &handshake(&format!("Origin: {origin}\r\n"))).await;
        assert_eq!(status(&answer), expected, "{origin:?}\n{answer}");
    }
    let twice = "Origin: https://ok.example\r\nOrigin: https://evil.example\r\n";
    assert_eq!(status(&exchange(&server, &handshake(twice)).await), 400);
    serves_on(server).await;
}

/// A refused handshake is an answer like any other: with the headers that keep a page from misusing it.
#[tokio::test]
async fn a_refused_handshake_has_the_security_headers() {
    let server = start(|_| {}).await;
    let answer = exchange(&server, &handshake("Origin: https://evil.example\r\n")).await;
    assert_eq!(status(&answer), 403);
    for header in [
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "permissions-policy: ",
        "cross-origin-opener-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
        "connection: close",
    ] {
        assert!(answer.contains(header), "{header}\n{answer}");
    }
    assert!(!answer.contains("access-control-allow-origin"), "{answer}");
    serves_on(server).await;
}

/// Compression is offered by browsers, and not spoken here: the answer leaves it out (RFC 6455, section 9.1), so
/// that there is nothing to blow up.
#[tokio::test]
async fn compression_is_not_negotiated() {
    let server = start(|_| {}).await;
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
        "x-webkit-deflate-frame, permessage-bzip2",
    ] {
        let answer = exchange(&server, &handshake(&format!("Sec-WebSocket-Extensions: {offer}\r\n"))).await;
        assert_eq!(status(&answer), 101, "{answer}");
        assert!(!answer.to_lowercase().contains("sec-websocket-extensions"), "{answer}");
    }
    serves_on(server).await;
}
