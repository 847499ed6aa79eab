//! tungstenite, an independent implementation, reads what we write and writes what we read.

use std::io::Cursor;

use healthmate_ws::fuzzing::{Recorded, record};
use healthmate_ws::{CloseCode, Frame, Limits, TextFrameBuilder};
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode as PeerCode;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// What the peer, as a client, reads from our frames.
fn read_by_peer(frames: &[Frame]) -> Vec<Message> {
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.as_bytes().to_vec()).collect();
    let mut client = WebSocket::from_raw_socket(Cursor::new(bytes), Role::Client, None);
    frames.iter().map(|_| client.read().expect("the peer understands our frame")).collect()
}

/// What the peer, as a client, writes for these messages.
fn written_by_peer(messages: Vec<Message>) -> Vec<u8> {
    let config = WebSocketConfig::default();
    let mut client = WebSocket::from_raw_socket(Cursor::new(Vec::new()), Role::Client, Some(config));
    for message in messages {
        client.write(message).expect("the peer writes");
    }
    client.flush().expect("the peer flushes");
    client.into_inner().into_inner()
}

#[test]
fn the_peer_reads_every_kind_of_our_frames() {
    let long = "x".repeat(70_000);
    let frames = [
        Frame::text("puls ♥"),
        Frame::text(""),
        Frame::binary(&[0; 126]),
        Frame::text(&long),
        Frame::ping(b"ping"),
        Frame::pong(&[9; 125]),
        Frame::close(CloseCode::new(4501), "not authenticated within 10 s"),
    ];
    let close = CloseFrame { code: PeerCode::Library(4501), reason: "not authenticated within 10 s".into() };
    let read = read_by_peer(&frames);
    assert_eq!(read.len(), frames.len());
    assert_eq!(read[0], Message::text("puls ♥"));
    assert_eq!(read[1], Message::text(""));
    assert_eq!(read[2], Message::binary(vec![0; 126]));
    assert_eq!(read[3], Message::text(long));
    assert_eq!(read[4], Message::Ping(b"ping".to_vec().into()));
    assert_eq!(read[5], Message::Pong(vec![9; 125].into()));
    let Message::Close(Some(read)) = &read[6] else { panic!("no close with a code: {:?}", read[6]) };
    assert_eq!((u16::from(read.code), &read.reason), (u16::from(close.code), &close.reason));
}

#[test]
fn the_peer_reads_a_close_without_a_code() {
    assert_eq!(read_by_peer(&[Frame::close(CloseCode::NO_STATUS, "")]), [Message::Close(None)]);
}

#[test]
fn we_read_every_kind_of_the_peers_frames() {
    let long = "y".repeat(65_536);
    let close = CloseFrame { code: PeerCode::Away, reason: "seite verlassen…".into() };
    let stream = written_by_peer(vec![
        Message::text("grüße"),
        Message::binary(vec![1, 2, 3]),
        Message::text(long.clone()),
        Message::Ping(b"p".to_vec().into()),
        Message::Pong(vec![].into()),
        Message::Close(Some(close)),
    ]);
    let expected = [
        Recorded::Text("grüße".to_owned()),
        Recorded::Binary(vec![1, 2, 3]),
        Recorded::Text(long),
        Recorded::Ping(b"p".to_vec()),
        Recorded::Pong(vec![]),
        Recorded::Close(CloseCode::GOING_AWAY, "seite verlassen…".to_owned()),
    ];
    for chunk in [stream.len(), 1000, 1] {
        assert!(record(Limits::default(), &stream, || chunk) == expected, "in chunks of {chunk}");
    }
}

proptest! {
    #[test]
    fn texts_survive_the_way_to_the_peer_and_back(texts in vec(".{0,300}", 1..6), chunk in 1_usize..400) {
        let frames: Vec<Frame> = texts
            .iter()
            .map(|text| {
                let mut builder = TextFrameBuilder::with_capacity(20);
                std::fmt::Write::write_str(&mut builder, text).expect("memory");
                builder.finish().expect("text")
            })
            .collect();
        let read = read_by_peer(&frames);
        let expected: Vec<Message> = texts.iter().map(Message::text).collect();
        prop_assert_eq!(&read, &expected);

        let back = record(Limits::default(), &written_by_peer(read), || chunk);
        let expected: Vec<Recorded> = texts.into_iter().map(Recorded::Text).collect();
        prop_assert_eq!(back, expected);
    }
}
