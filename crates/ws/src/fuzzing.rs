//! Bodies of the fuzz targets, here so that ordinary tests replay the seeds through the same code, and what those
//! tests share. Not public API.

use crate::{CloseCode, Event, Inbound, Limits, Violation};

/// An event that outlives the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// [`Event::Text`]
    Text(String),
    /// [`Event::Binary`]
    Binary(Vec<u8>),
    /// [`Event::Ping`]
    Ping(Vec<u8>),
    /// [`Event::Pong`]
    Pong(Vec<u8>),
    /// [`Event::Close`]
    Close(CloseCode, String),
    /// What ended the connection.
    Violation(Violation),
}

impl From<Event<'_>> for Recorded {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(payload) => Self::Binary(payload.to_owned()),
            Event::Ping(payload) => Self::Ping(payload.to_owned()),
            Event::Pong(payload) => Self::Pong(payload.to_owned()),
            Event::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

/// What an idle or finished connection may hold beside its message.
pub const OVERHEAD_BYTES: usize = 512;

/// Feeds `stream` in chunks whose lengths `chunks` gives (0 is one too) and records all that comes out.
///
/// # Panics
/// If more memory is held than the limits allow, or any after the end.
pub fn record(limits: Limits, stream: &[u8], mut chunks: impl FnMut() -> usize) -> Vec<Recorded> {
    let mut inbound = Inbound::new(limits);
    let mut recorded = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunks().min(rest.len()));
        rest = after;
        let mut scratch = chunk.to_vec();
        let mut events = inbound.feed(&mut scratch);
        loop {
            match events.next() {
                Ok(Some(event)) => recorded.push(event.into()),
                Ok(None) => break,
                Err(violation) => recorded.push(Recorded::Violation(violation)),
            }
        }
        let bound = limits.max_message_bytes as usize + OVERHEAD_BYTES;
        assert!(inbound.held_bytes() <= bound, "{} bytes held", inbound.held_bytes());
        assert!(!inbound.is_finished() || inbound.held_bytes() == 0, "memory held after the end");
    }
    recorded
}

/// A frame as a client sends it: `first` is FIN, reserved bits and opcode; the payload is masked with `key`.
pub fn client_frame(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(0x80 | 0x7E);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7F);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Fuzz target `ws_inbound`: nothing panics, memory stays within the limits, and the events do not depend on how
/// the stream was cut.
///
/// Input: a byte of modes; a byte with a count (modulo 16) of chunk lengths; these, a byte each; the stream. Bit 0
/// of the modes says that the stream is a list of frames to be encoded (first byte, length, payload) instead of
/// raw bytes, so that a mutation of it need not guess masks; bits 1 and 2 choose the limits.
///
/// # Panics
/// If one of these does not hold.
pub fn ws_inbound(data: &[u8]) {
    let Some((&[modes, count], data)) = data.split_first_chunk() else {
        return;
    };
    let (lengths, body) = data.split_at(usize::from(count & 0x0F).min(data.len()));
    let framed = modes & 0b1 != 0;
    let stream = if framed { encode(body) } else { body.to_vec() };
    let bytes = [64 * 1024, 1000, 125, 16][usize::from((modes >> 1) & 0b11)];
    let limits = Limits { max_frame_bytes: bytes, max_message_bytes: 2 * bytes };

    let whole = record(limits, &stream, || stream.len());
    let cut = record(limits, &stream, chunk_lengths(lengths));
    assert_eq!(whole, cut, "the events depend on the chunks");
    let bytewise = record(limits, &stream, || 1);
    assert_eq!(whole, bytewise, "the events of single bytes differ");
    let last = |event: &Recorded| matches!(event, Recorded::Close(..) | Recorded::Violation(_));
    let after_last = whole.iter().position(last).map_or(0, |at| whole.len() - at - 1);
    assert_eq!(after_last, 0, "events after the last");
}

/// The lengths over and over; 1 where they would never advance.
fn chunk_lengths(lengths: &[u8]) -> impl FnMut() -> usize {
    let stuck = lengths.iter().all(|length| *length == 0);
    let mut lengths = lengths.iter().cycle();
    move || {
        if stuck { 1 } else { lengths.next().map_or(1, |length| usize::from(*length)) }
    }
}

/// Frames from (first byte, length, payload); the last may be short.
fn encode(mut body: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&[first, length], rest)) = body.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(length).min(rest.len()));
        stream.extend(client_frame(first, [first, 0x5A, length, 0xC3], payload));
        body = rest;
    }
    stream
}
