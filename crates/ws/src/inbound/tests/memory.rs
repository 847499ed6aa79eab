//! What is kept, for how long, and where an event lies.

use super::super::{Event, Inbound, Limits};
use super::{KEY, LIMITS, frames};
use crate::CloseCode;
use crate::fuzzing::{OVERHEAD_BYTES, client_frame};

#[test]
fn a_whole_frame_is_given_where_it_lies() {
    let mut inbound = Inbound::new(LIMITS);
    for payload in [&b"in place"[..], b"a second read"] {
        let mut scratch = frames(&[(0x81, payload)]);
        let lies = scratch.as_ptr_range();
        let mut feed = inbound.feed(&mut scratch);
        let Ok(Some(Event::Text(text))) = feed.next() else { panic!("no text") };
        assert_eq!(text.as_bytes(), payload);
        assert!(lies.contains(&text.as_ptr()), "the payload was copied");
        drop(feed);
        assert_eq!(inbound.held_bytes(), 0);
    }
}

#[test]
fn memory_is_held_only_while_something_is_incomplete() {
    let mut inbound = Inbound::new(LIMITS);
    let mut feed = |bytes: &[u8]| {
        let mut scratch = bytes.to_vec();
        let mut events = inbound.feed(&mut scratch);
        while events.next().unwrap().is_some() {}
        inbound.held_bytes()
    };
    assert_eq!(feed(b""), 0);
    let message = frames(&[(0x81, &[b'x'; 600])]);
    let (start, end) = message.split_at(400);
    let held = feed(start);
    assert!((392..392 + OVERHEAD_BYTES).contains(&held), "{held}");
    assert_eq!(feed(end), 0, "after a frame in two reads");
    assert!(feed(&frames(&[(0x01, b"a")])) > 0);
    assert!(feed(&frames(&[(0x89, b"ping")])) > 0);
    assert_eq!(feed(&frames(&[(0x80, b"b")])), 0, "after a fragmented message");
    assert!(feed(&[0x89]) > 0);
    assert_eq!(feed(&[0x80, 1, 2, 3, 4]), 0, "after a header in two reads");
}

#[test]
fn a_message_of_many_small_frames_is_copied_few_times() {
    let limits = Limits::default();
    let mut inbound = Inbound::new(limits);
    let mut growths = 0;
    let mut held = 0;
    for i in 0..limits.max_message_bytes {
        let mut scratch = client_frame(if i == 0 { 0x02 } else { 0x00 }, KEY, b"x");
        assert_eq!(inbound.feed(&mut scratch).next(), Ok(None));
        growths += u32::from(inbound.held_bytes() != held);
        held = inbound.held_bytes();
    }
    assert!(growths <= 18, "{growths} growths");
    assert!(held <= limits.max_message_bytes as usize + OVERHEAD_BYTES, "{held} bytes");
}

#[test]
fn unread_bytes_can_be_fed_again_later() {
    let mut stream = frames(&[(0x81, b"first"), (0x81, b"second")]);
    let mut inbound = Inbound::new(LIMITS);
    let mut feed = inbound.feed(&mut stream);
    assert_eq!(feed.next(), Ok(Some(Event::Text("first"))));
    let mut saved = feed.unread().to_vec();
    assert_eq!(saved, frames(&[(0x81, b"second")]));
    assert_eq!(inbound.feed(&mut saved).next(), Ok(Some(Event::Text("second"))));
}

#[test]
fn debug_shows_no_payload() {
    let events = [
        (Event::Text("pulse 72"), "Text(8 bytes)"),
        (Event::Binary(b"72"), "Binary(2 bytes)"),
        (Event::Ping(b"72"), "Ping(2 bytes)"),
        (Event::Pong(b"72"), "Pong(2 bytes)"),
        (Event::Close { code: CloseCode::NORMAL, reason: "72" }, "Close(1000, 2 bytes)"),
    ];
    for (event, shown) in events {
        assert_eq!(format!("{event:?}"), shown);
    }
    let mut inbound = Inbound::new(LIMITS);
    assert_eq!(format!("{:?}", inbound.feed(&mut [7, 2])), "Events(2 bytes unread)");
    assert!(format!("{inbound:?}").ends_with("finished: false, held_bytes: 0, .. }"));
}
