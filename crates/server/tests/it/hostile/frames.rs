//! Frames that break RFC 6455, or are too many.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{serves_on, start};
use crate::server::TestServer;

/// A frame as a client sends it: `first` is FIN, reserved bits and opcode; the mask is zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        length @ 0..=125 => vec![0x80 | length as u8],
        length => [&[0xfe][..], &(length as u16).to_be_bytes()].concat(),
    };
    [&[first], length.as_slice(), &[0; 4], payload].concat()
}

async fn raw(server: &TestServer) -> TcpStream {
    server.connect("ana").await.socket.into_inner()
}

/// What comes until the server closes.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received).await;
    received
}

#[tokio::test]
async fn each_broken_rule_closes_with_its_code() {
    let server = start(|settings| settings.limits.connections_per_user = 100).await;
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("compressed, though nobody agreed to it", frame(0xc1, b"\x2a\x49\x4d"), 1002),
        ("reserved bit 2", frame(0xa1, b"{}"), 1002),
        ("reserved bit 3", frame(0x91, b"{}"), 1002),
        ("a compressed control frame", frame(0xc9, b""), 1002),
        ("reserved opcode", frame(0x83, b"{}"), 1002),
        ("reserved control opcode", frame(0x8b, b""), 1002),
        ("not masked", b"\x81\x02{}".to_vec(), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a message inside a message", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("a fragmented ping", frame(0x09, b"a"), 1002),
        ("a ping of 126 bytes", frame(0x89, &[b'a'; 126]), 1002),
        ("a length with its top bit", b"\x81\xff\x80\0\0\0\0\0\0\x01".to_vec(), 1002),
        ("a length of exabytes", b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(), 1009),
        ("a length not in its shortest form", b"\x81\xfe\0\x02\0\0\0\0{}".to_vec(), 1002),
        ("not UTF-8", frame(0x81, b"\xff\xfe"), 1007),
        ("a lone surrogate in UTF-8", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("an overlong slash", frame(0x81, b"\xc0\xaf"), 1007),
        ("not UTF-8 in the second fragment", [frame(0x01, b"{"), frame(0x80, b"\xff")].concat(), 1007),
        ("binary", frame(0x82, b"{}"), 1003),
        ("a close code of one byte", frame(0x88, b"\x03"), 1002),
        ("a close code that nobody may send", frame(0x88, &1006u16.to_be_bytes()), 1002),
        ("a close reason that is not UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
    ];
    for (what, bytes, code) in cases {
        let mut stream = raw(&server).await;
        stream.write_all(&bytes).await.expect("written");
        let received = rest(stream).await;
        let close = received.windows(2).any(|pair| pair == code.to_be_bytes());
        assert!(received.starts_with(&[0x88]) && close, "{what}: {received:?}");
    }
    serves_on(server).await;
}

/// Many fragments of one byte are one message; without an end they are one that is too long.
#[tokio::test]
async fn a_flood_of_fragments_costs_one_message() {
    let server = start(|_| {}).await;
    let mut stream = raw(&server).await;
    let text = br#"{"type":"ping","correlation_id":"fragments"}"#;
    let mut flood = frame(0x01, &text[..1]);
    for byte in &text[1..] {
        flood.extend(frame(0x00, b"").repeat(1000));
        flood.extend(frame(0x00, &[*byte]));
    }
    flood.extend(frame(0x80, b""));
    stream.write_all(&flood).await.expect("written");
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("fragments") {
        assert_ne!(stream.read_buf(&mut received).await.expect("open"), 0, "closed");
    }
    // One byte past limits.max_message_bytes, in fragments that each are small.
    let endless = [frame(0x01, b" "), frame(0x00, b" ").repeat(65_536)].concat();
    let _ = stream.write_all(&endless).await;
    let received = rest(stream).await;
    assert!(received.windows(2).any(|pair| pair == 1009u16.to_be_bytes()), "{received:?}");
    serves_on(server).await;
}

/// Pings between fragments are answered, and whoever does not read the answers is not heard until it does.
#[tokio::test]
async fn a_flood_of_pings_between_fragments_is_answered_and_held_back() {
    let server = start(|settings| settings.limits.queued_bytes_per_connection = 65_536).await;
    let stream = raw(&server).await;
    let (mut read, mut write) = stream.into_split();
    let count = 20_000;
    let flood = tokio::spawn(async move {
        write.write_all(&frame(0x01, br#"{"type":"#)).await.expect("written");
        for _ in 0..count / 100 {
            write.write_all(&frame(0x89, &[b'p'; 100]).repeat(100)).await.expect("the server reads, in time");
        }
        write.write_all(&frame(0x80, br#""ping"}"#)).await.expect("written");
        write
    });
    let (mut received, mut pongs) = (Vec::new(), 0);
    while pongs < count {
        assert_ne!(read.read_buf(&mut received).await.expect("open"), 0, "closed");
        while received.len() >= 102 && received.starts_with(&[0x8a, 100]) {
            received.drain(..102);
            pongs += 1;
        }
    }
    while !String::from_utf8_lossy(&received).contains(r#""type":"pong""#) {
        assert_ne!(read.read_buf(&mut received).await.expect("open"), 0, "closed");
    }
    drop(flood.await.expect("all sent"));
    drop(read);
    serves_on(server).await;
}
