mod memory;

use super::{Event, Inbound, Limits, Violation};
use crate::fuzzing::{Recorded, client_frame, record};
use crate::{CloseCode, Frame};

const KEY: [u8; 4] = [0x9A, 0x01, 0xC7, 0x3E];
const LIMITS: Limits = Limits { max_frame_bytes: 1000, max_message_bytes: 1500 };

fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| client_frame(*first, KEY, payload)).collect()
}

/// The events of `stream`, which are the same in one piece, byte by byte, and in threes.
fn events(stream: &[u8]) -> Vec<Recorded> {
    let whole = record(LIMITS, stream, || stream.len());
    for chunk in [1, 3] {
        assert_eq!(record(LIMITS, stream, || chunk), whole, "in chunks of {chunk}");
    }
    whole
}

fn violation(stream: &[u8]) -> Option<Violation> {
    match events(stream).last() {
        Some(Recorded::Violation(violation)) => Some(*violation),
        _ => None,
    }
}

fn text(text: &str) -> Recorded {
    Recorded::Text(text.to_owned())
}

#[test]
fn the_masked_hello_of_the_rfc_is_read() {
    let hello = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(events(&hello), [text("Hello")]);
}

#[test]
fn messages_and_control_frames_come_in_their_order() {
    let stream = frames(&[
        (0x81, "Grüße".as_bytes()),
        (0x89, b"are you there"),
        (0x82, &[0, 255]),
        (0x8A, b""),
        (0x81, b""),
        (0x88, &[0x03, 0xE8, b'b', b'y', b'e']),
    ]);
    let expected = [
        text("Grüße"),
        Recorded::Ping(b"are you there".to_vec()),
        Recorded::Binary(vec![0, 255]),
        Recorded::Pong(vec![]),
        text(""),
        Recorded::Close(CloseCode::NORMAL, "bye".to_owned()),
    ];
    assert_eq!(events(&stream), expected);
}

#[test]
fn a_fragmented_message_is_joined_around_control_frames() {
    let stream = frames(&[
        (0x01, b"one, "),
        (0x89, b"p"),
        (0x00, b""),
        (0x00, b"two, "),
        (0x8A, b"q"),
        (0x80, b"three"),
        (0x02, b""),
        (0x80, b""),
        (0x81, b"after"),
    ]);
    let expected = [
        Recorded::Ping(b"p".to_vec()),
        Recorded::Pong(b"q".to_vec()),
        text("one, two, three"),
        Recorded::Binary(vec![]),
        text("after"),
    ];
    assert_eq!(events(&stream), expected);
}

#[test]
fn every_length_form_is_read() {
    let limits = Limits { max_frame_bytes: 70_000, max_message_bytes: 70_000 };
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..length).map(|i: u32| i as u8).collect();
        let stream = client_frame(0x82, KEY, &payload);
        for chunk in [stream.len(), 4096, 7] {
            let events = record(limits, &stream, || chunk);
            assert!(events == [Recorded::Binary(payload.clone())], "{length} bytes in chunks of {chunk}");
        }
    }
}

#[test]
fn each_broken_rule_of_framing_is_a_protocol_error() {
    let header = |bytes: &[u8]| [bytes, &KEY].concat();
    let cases: Vec<(Vec<u8>, Violation)> = vec![
        (frames(&[(0xC1, b"")]), Violation::ReservedBits),
        (frames(&[(0xA1, b"")]), Violation::ReservedBits),
        (frames(&[(0x91, b"")]), Violation::ReservedBits),
        (frames(&[(0x83, b"")]), Violation::UnknownOpcode(3)),
        (frames(&[(0x87, b"")]), Violation::UnknownOpcode(7)),
        (frames(&[(0x8B, b"")]), Violation::UnknownOpcode(11)),
        (frames(&[(0x8F, b"")]), Violation::UnknownOpcode(15)),
        (frames(&[(0x08, b"")]), Violation::FragmentedControl),
        (frames(&[(0x09, b"")]), Violation::FragmentedControl),
        (frames(&[(0x0A, b"")]), Violation::FragmentedControl),
        (frames(&[(0x89, &[0; 126])]), Violation::LongControl),
        (frames(&[(0x88, &[3; 126])]), Violation::LongControl),
        (frames(&[(0x80, b"")]), Violation::NothingToContinue),
        (frames(&[(0x00, b"")]), Violation::NothingToContinue),
        (frames(&[(0x81, b"a"), (0x80, b"")]), Violation::NothingToContinue),
        (frames(&[(0x01, b"a"), (0x80, b""), (0x80, b"")]), Violation::NothingToContinue),
        (frames(&[(0x01, b"a"), (0x81, b"b")]), Violation::MessageInterrupted),
        (frames(&[(0x01, b"a"), (0x89, b""), (0x02, b"b")]), Violation::MessageInterrupted),
        (vec![0x81, 0x01, b'a'], Violation::Unmasked),
        (vec![0x88, 0x00], Violation::Unmasked),
        (header(&[0x82, 0xFE, 0, 125]), Violation::LengthNotMinimal),
        (header(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), Violation::LengthNotMinimal),
        (header(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Violation::LengthTopBit),
    ];
    for (stream, expected) in cases {
        assert_eq!(violation(&stream), Some(expected), "{stream:x?}");
        assert_eq!(expected.code(), CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn a_header_is_refused_by_its_first_wrong_byte() {
    for (start, expected) in [
        (&[0xC1_u8] as &[u8], Violation::ReservedBits),
        (&[0x80], Violation::NothingToContinue),
        (&[0x81, 0x05], Violation::Unmasked),
        (&[0x89, 0xFE], Violation::LongControl),
        (&[0x82, 0xFE, 0, 5], Violation::LengthNotMinimal),
    ] {
        assert_eq!(violation(start), Some(expected), "{start:x?}");
    }
}

#[test]
fn sizes_are_decided_by_the_header_alone() {
    let header = |first: u8, length: u16| [&[first, 0xFE], &length.to_be_bytes()[..], &KEY].concat();
    assert_eq!(violation(&header(0x82, 1000)), None);
    let too_big = Violation::FrameTooBig { bytes: 1001, limit: 1000 };
    assert_eq!(violation(&header(0x82, 1001)), Some(too_big));
    assert_eq!(too_big.code(), CloseCode::MESSAGE_TOO_BIG);
    let huge = [&[0x81, 0xFF, 0x7F], &[0xFF; 7][..], &KEY].concat();
    let bytes = u64::MAX >> 1;
    assert_eq!(violation(&huge), Some(Violation::FrameTooBig { bytes, limit: 1000 }));

    let start = frames(&[(0x02, &[0; 1000])]);
    assert_eq!(violation(&[start.clone(), header(0x80, 500)].concat()), None);
    let too_big = Violation::MessageTooBig { bytes: 1501, limit: 1500 };
    assert_eq!(violation(&[start.clone(), header(0x80, 501)].concat()), Some(too_big));
    assert_eq!(too_big.code(), CloseCode::MESSAGE_TOO_BIG);
    // A control frame inside is no part of the message.
    let ping = frames(&[(0x89, &[0; 125])]);
    assert_eq!(violation(&[start, ping, header(0x80, 500)].concat()), None);
}

#[test]
fn limits_do_not_bound_control_frames() {
    let limits = Limits { max_frame_bytes: 0, max_message_bytes: 0 };
    let stream = frames(&[(0x89, &[1; 125]), (0x82, b"")]);
    let expected = [Recorded::Ping(vec![1; 125]), Recorded::Binary(vec![])];
    assert_eq!(record(limits, &stream, || 1), expected);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let cases: [&[u8]; 8] = [
        b"\xFF",
        b"ok \xC0\xAF",        // a slash in two bytes
        b"\xED\xA0\x80",       // half of a surrogate pair
        b"\xF4\x90\x80\x80",   // above the last character
        b"\xE2\x82",           // ends inside a character
        b"\x80",               // begins inside one
        b"\xC3a",              // breaks off inside one
        b"caf\xC3\xA9 \xF8..", // five-byte form
    ];
    for bytes in cases {
        assert_eq!(
            events(&frames(&[(0x81, bytes)])),
            [Recorded::Violation(Violation::TextNotUtf8)],
            "{bytes:x?}"
        );
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let stream = frames(&[(0x01, head), (0x89, b""), (0x80, tail)]);
            assert_eq!(violation(&stream), Some(Violation::TextNotUtf8), "{bytes:x?} cut at {cut}");
        }
        assert_eq!(events(&frames(&[(0x82, bytes)])), [Recorded::Binary(bytes.to_vec())]);
    }
    assert_eq!(Violation::TextNotUtf8.code(), CloseCode::INVALID_PAYLOAD);
}

#[test]
fn a_character_may_be_cut_by_frames() {
    let whole = "κόσμε 🩺 €";
    for cut in 0..=whole.len() {
        let (head, tail) = whole.as_bytes().split_at(cut);
        assert_eq!(events(&frames(&[(0x01, head), (0x80, tail)])), [text(whole)], "cut at {cut}");
    }
}

#[test]
fn wrong_text_is_refused_as_soon_as_nothing_can_save_it() {
    // 1000 bytes are announced; the byte at 7 cannot follow those before it.
    let stream = client_frame(0x01, KEY, &[b"abc \xF4\x8F\xC0", &[b'x'; 993][..]].concat());
    let header = stream.len() - 1000;
    assert_eq!(violation(&stream[..header + 6]), None);
    assert_eq!(violation(&stream[..header + 7]), Some(Violation::TextNotUtf8));
}

#[test]
fn a_close_is_taken_with_any_code_that_may_be_sent() {
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4501, 4999_u16] {
        let payload = [&code.to_be_bytes()[..], "Ende ✓".as_bytes()].concat();
        let expected = Recorded::Close(CloseCode::new(code), "Ende ✓".to_owned());
        assert_eq!(events(&frames(&[(0x88, &payload)])), [expected]);
    }
    let absent = Recorded::Close(CloseCode::NO_STATUS, String::new());
    assert_eq!(events(&frames(&[(0x88, b"")])), [absent]);
    let longest = [&[0x03, 0xE8], &[b'r'; 123][..]].concat();
    assert_eq!(events(&frames(&[(0x88, &longest)])), [Recorded::Close(CloseCode::NORMAL, "r".repeat(123))]);
}

#[test]
fn a_close_with_a_wrong_payload_is_a_violation() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16] {
        let expected = Violation::CloseCode(CloseCode::new(code));
        assert_eq!(violation(&frames(&[(0x88, &code.to_be_bytes())])), Some(expected));
        assert_eq!(expected.code(), CloseCode::PROTOCOL_ERROR);
    }
    assert_eq!(violation(&frames(&[(0x88, b"\x03")])), Some(Violation::ShortClose));
    assert_eq!(Violation::ShortClose.code(), CloseCode::PROTOCOL_ERROR);
    assert_eq!(violation(&frames(&[(0x88, b"\x03\xE8\xE2\x82")])), Some(Violation::ReasonNotUtf8));
    assert_eq!(Violation::ReasonNotUtf8.code(), CloseCode::INVALID_PAYLOAD);
}

#[test]
fn nothing_is_read_after_a_close_or_a_violation() {
    let close = frames(&[(0x01, b"begun"), (0x88, b""), (0x80, b"more")]);
    assert_eq!(events(&close), [Recorded::Close(CloseCode::NO_STATUS, String::new())]);
    let wrong = frames(&[(0x81, b"a"), (0x83, b""), (0x81, b"b")]);
    assert_eq!(events(&wrong), [text("a"), Recorded::Violation(Violation::UnknownOpcode(3))]);

    let mut inbound = Inbound::new(LIMITS);
    let mut stream = frames(&[(0x88, b""), (0x81, b"late")]);
    let mut feed = inbound.feed(&mut stream);
    assert!(matches!(feed.next(), Ok(Some(Event::Close { .. }))));
    assert_eq!(feed.next(), Ok(None));
    assert_eq!(inbound.feed(&mut frames(&[(0x81, b"later")])).next(), Ok(None));
    assert!(inbound.is_finished());
}

#[test]
fn a_violation_gives_its_close_frame() {
    let violation = Violation::MessageTooBig { bytes: 70_000, limit: 65_536 };
    let expected = Frame::close(CloseCode::MESSAGE_TOO_BIG, "message of at least 70000 bytes exceeds 65536");
    assert_eq!(violation.close_frame(), expected);
}
