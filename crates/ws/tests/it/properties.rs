//! What holds for every stream and every way to cut it.

use healthmate_ws::fuzzing::{Recorded, client_frame, record, ws_inbound};
use healthmate_ws::{CloseCode, Limits};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMITS: Limits = Limits { max_frame_bytes: 2000, max_message_bytes: 2000 };

/// Something a client may send, its frames, and what must come of it.
#[derive(Debug, Clone)]
struct Sent {
    frames: Vec<(u8, Vec<u8>)>,
    expected: Vec<Recorded>,
}

fn control() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (prop_oneof![Just(0x89_u8), Just(0x8A)], vec(any::<u8>(), 0..=125))
}

fn recorded_control((first, payload): &(u8, Vec<u8>)) -> Recorded {
    if *first == 0x89 { Recorded::Ping(payload.clone()) } else { Recorded::Pong(payload.clone()) }
}

/// A message cut into frames anywhere, inside characters too, with control frames between them.
fn message() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        "\\PC{0,120}".prop_map(|text| (1_u8, text.into_bytes())),
        vec(any::<u8>(), 0..400).prop_map(|bytes| (2, bytes)),
    ];
    (payload, vec((any::<prop::sample::Index>(), proptest::option::of(control())), 0..4)).prop_map(
        |((opcode, payload), cuts)| {
            let mut cuts: Vec<_> =
                cuts.into_iter().map(|(at, control)| (at.index(payload.len() + 1), control)).collect();
            cuts.sort_by_key(|(at, _)| *at);
            let mut sent = Sent { frames: Vec::new(), expected: Vec::new() };
            let mut from = 0;
            for (at, control) in cuts {
                let first = if sent.frames.is_empty() { opcode } else { 0 };
                sent.frames.push((first, payload[from..at].to_vec()));
                from = at;
                if let Some(control) = control {
                    sent.expected.push(recorded_control(&control));
                    sent.frames.push(control);
                }
            }
            let first = 0x80 | if sent.frames.is_empty() { opcode } else { 0 };
            sent.frames.push((first, payload[from..].to_vec()));
            sent.expected.push(match opcode {
                1 => Recorded::Text(String::from_utf8(payload).expect("from a string")),
                _ => Recorded::Binary(payload),
            });
            sent
        },
    )
}

fn close() -> impl Strategy<Value = Sent> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    proptest::option::of((code, "\\PC{0,30}")).prop_map(|close| {
        let (payload, code, reason) = match close {
            Some((code, reason)) => {
                ([&code.to_be_bytes()[..], reason.as_bytes()].concat(), CloseCode::new(code), reason)
            }
            None => (Vec::new(), CloseCode::NO_STATUS, String::new()),
        };
        Sent { frames: vec![(0x88, payload)], expected: vec![Recorded::Close(code, reason)] }
    })
}

fn conversation() -> impl Strategy<Value = Sent> {
    let alone = control()
        .prop_map(|control| Sent { expected: vec![recorded_control(&control)], frames: vec![control] });
    let part = prop_oneof![3 => message(), 1 => alone];
    (vec(part, 0..6), proptest::option::of(close())).prop_map(|(parts, close)| {
        let mut whole = Sent { frames: Vec::new(), expected: Vec::new() };
        for part in parts.into_iter().chain(close) {
            whole.frames.extend(part.frames);
            whole.expected.extend(part.expected);
        }
        whole
    })
}

fn encode(frames: &[(u8, Vec<u8>)], key: [u8; 4]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| client_frame(*first, key, payload)).collect()
}

proptest! {
    #[test]
    fn valid_frames_give_their_events_however_they_are_cut(
        sent in conversation(),
        key in any::<[u8; 4]>(),
        chunks in vec(0_usize..300, 1..20),
    ) {
        let stream = encode(&sent.frames, key);
        prop_assert_eq!(&record(LIMITS, &stream, || stream.len()), &sent.expected, "in one piece");
        prop_assert_eq!(&record(LIMITS, &stream, || 1), &sent.expected, "byte by byte");
        let mut lengths = chunks.iter().copied().chain([1]).cycle();
        prop_assert_eq!(&record(LIMITS, &stream, || lengths.next().unwrap_or(1)), &sent.expected, "cut");
    }

    #[test]
    fn a_flipped_bit_gives_the_same_however_it_is_cut(
        sent in conversation(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        chunks in vec(0_usize..300, 1..20),
    ) {
        let mut stream = encode(&sent.frames, [1, 2, 3, 4]);
        prop_assume!(!stream.is_empty());
        *at.get_mut(&mut stream) ^= 1 << bit;
        let whole = record(LIMITS, &stream, || stream.len());
        let mut lengths = chunks.iter().copied().chain([1]).cycle();
        prop_assert_eq!(&record(LIMITS, &stream, || lengths.next().unwrap_or(1)), &whole);
    }

    /// The body of the fuzz target asserts that nothing panics, that memory stays within the limits, and that the
    /// events do not depend on the chunks.
    #[test]
    fn any_bytes_are_survived(data in vec(any::<u8>(), 0..2000)) {
        ws_inbound(&data);
    }

    #[test]
    fn any_frames_are_survived(
        modes in any::<u8>(),
        frames in vec((prop_oneof![4 => prop::sample::select(&[0x00_u8, 0x01, 0x02, 0x80, 0x81, 0x82, 0x89]), 1 => any::<u8>()],
            vec(any::<u8>(), 0..200)), 0..20),
        chunks in vec(any::<u8>(), 0..16),
    ) {
        let mut data = vec![modes | 1, chunks.len() as u8];
        data.extend(&chunks);
        for (first, payload) in frames {
            data.extend([first, payload.len() as u8]);
            data.extend(payload);
        }
        ws_inbound(&data);
    }
}
