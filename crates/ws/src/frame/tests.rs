use std::fmt::Write as _;
use std::io::Write as _;

use super::{Frame, NotText, TextFrameBuilder};
use crate::CloseCode;

#[test]
fn the_header_is_the_shortest_for_the_length() {
    let cases: [(usize, &[u8]); 7] = [
        (0, &[0x82, 0]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (127, &[0x82, 126, 0, 127]),
        (65_535, &[0x82, 126, 0xFF, 0xFF]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (70_000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
    ];
    for (length, header) in cases {
        let payload = vec![7; length];
        let frame = Frame::binary(&payload);
        assert_eq!(&frame.as_bytes()[..header.len()], header, "{length}");
        assert_eq!(&frame.as_bytes()[header.len()..], payload, "{length}");
        assert_eq!(frame.len(), header.len() + length);
    }
}

#[test]
fn each_kind_has_its_opcode_and_fin() {
    let first = |frame: &Frame| frame.as_bytes()[0];
    assert_eq!(first(&Frame::text("a")), 0x81);
    assert_eq!(first(&Frame::binary(b"a")), 0x82);
    assert_eq!(first(&Frame::close(CloseCode::NORMAL, "")), 0x88);
    assert_eq!(first(&Frame::ping(b"")), 0x89);
    assert_eq!(first(&Frame::pong(b"")), 0x8A);
    assert!(Frame::close(CloseCode::NORMAL, "").is_close());
    assert!(!Frame::pong(b"").is_close());
}

#[test]
fn a_control_payload_is_cut_at_125_bytes() {
    assert_eq!(Frame::ping(&[1; 125]).len(), 127);
    assert_eq!(Frame::ping(&[1; 126]).as_ref(), Frame::ping(&[1; 125]).as_ref());
    assert_eq!(Frame::pong(&[1; 4000]).len(), 127);
}

#[test]
fn a_close_carries_code_and_reason() {
    let frame = Frame::close(CloseCode::new(4501), "too late");
    assert_eq!(frame.as_ref(), b"\x88\x0A\x11\x95too late");
}

#[test]
fn a_close_reason_is_cut_at_a_character_boundary() {
    let exact = "r".repeat(123);
    assert_eq!(&Frame::close(CloseCode::NORMAL, &exact).as_ref()[4..], exact.as_bytes());
    // 61 characters of two bytes are 122 bytes; the 62nd would end at 124.
    let long = "é".repeat(80);
    assert_eq!(&Frame::close(CloseCode::NORMAL, &long).as_ref()[4..], "é".repeat(61).as_bytes());
}

#[test]
fn a_code_that_may_not_be_sent_gives_an_empty_close() {
    for code in [CloseCode::NO_STATUS, CloseCode::ABNORMAL, CloseCode::TLS_HANDSHAKE, CloseCode::new(0)] {
        assert_eq!(Frame::close(code, "never").as_ref(), b"\x88\x00", "{code}");
    }
}

#[test]
fn a_built_text_frame_equals_a_copied_one_at_every_header_length() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let text = "x".repeat(length);
        for capacity in [0, length, 10 * length] {
            let mut builder = TextFrameBuilder::with_capacity(capacity);
            builder.write_str(&text).unwrap();
            assert_eq!(builder.finish().unwrap(), Frame::text(&text), "{length} in {capacity}");
        }
    }
}

#[test]
fn a_builder_takes_bytes_and_text_in_turn() {
    let mut builder = TextFrameBuilder::with_capacity(8);
    // A character may arrive in two writes.
    assert_eq!(builder.write(&"é".as_bytes()[..1]).unwrap(), 1);
    builder.write_all(&"é".as_bytes()[1..]).unwrap();
    builder.flush().unwrap();
    builder.write_char('!').unwrap();
    assert_eq!(builder.payload(), "é!".as_bytes());
    assert_eq!(builder.finish().unwrap(), Frame::text("é!"));
}

#[test]
fn a_payload_that_fits_its_capacity_is_never_moved() {
    let mut builder = TextFrameBuilder::with_capacity(200);
    let before = builder.payload().as_ptr();
    builder.write_str(&"x".repeat(200)).unwrap();
    let frame = builder.finish().unwrap();
    for frame in [frame.clone(), frame] {
        assert_eq!(frame.into_bytes()[4..].as_ptr(), before, "a clone shares the bytes");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut builder = TextFrameBuilder::with_capacity(8);
    builder.write_all(b"ok\xFF.").unwrap();
    let error = builder.finish().unwrap_err();
    assert_eq!(error, NotText { bytes: 4, valid_up_to: 2 });
    assert_eq!(error.to_string(), "text of 4 bytes is not valid utf-8 after byte 2");
}

#[test]
fn debug_shows_no_payload() {
    let mut builder = TextFrameBuilder::with_capacity(8);
    builder.write_str("pulse 72").unwrap();
    assert_eq!(format!("{builder:?}"), "TextFrameBuilder(8 bytes)");
    assert_eq!(format!("{:?}", builder.finish().unwrap()), "Frame(text, 10 bytes)");
    assert_eq!(format!("{:?}", Frame::binary(b"72")), "Frame(binary, 4 bytes)");
    assert_eq!(format!("{:?}", Frame::ping(b"")), "Frame(ping, 2 bytes)");
    assert_eq!(format!("{:?}", Frame::pong(b"")), "Frame(pong, 2 bytes)");
    assert_eq!(format!("{:?}", Frame::close(CloseCode::NORMAL, "")), "Frame(close, 4 bytes)");
}
