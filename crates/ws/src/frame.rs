//! Outbound frames: complete, unmasked, encoded once and shared.

use std::{fmt, io};

use bytes::Bytes;

use crate::CloseCode;

/// The most bytes a Ping, Pong or Close frame may carry.
pub const MAX_CONTROL_BYTES: usize = 125;

/// The most bytes of a close reason: what is left of a control frame beside the code.
pub const MAX_CLOSE_REASON_BYTES: usize = MAX_CONTROL_BYTES - 2;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The longest header of a server's frame: two bytes and a length of eight.
const MAX_HEADER_BYTES: usize = 10;

/// One complete server frame, header and payload in one buffer, or several in a row ([`Frame::joined`]); a clone is
/// another reference to it.
///
/// `Debug` shows kind and length only, since the payload may be health data.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
}

impl Frame {
    /// A text message in one frame.
    pub fn text(text: &str) -> Self {
        Self::whole(TEXT, text.as_bytes())
    }

    /// A binary message in one frame.
    pub fn binary(payload: &[u8]) -> Self {
        Self::whole(BINARY, payload)
    }

    /// A Ping. A payload above [`MAX_CONTROL_BYTES`] is cut there.
    pub fn ping(payload: &[u8]) -> Self {
        Self::whole(PING, cut(payload))
    }

    /// A Pong; it answers a Ping with the Ping's payload. A payload above [`MAX_CONTROL_BYTES`] is cut there.
    pub fn pong(payload: &[u8]) -> Self {
        Self::whole(PONG, cut(payload))
    }

    /// A Close. `reason` is cut to [`MAX_CLOSE_REASON_BYTES`] at a character boundary.
    ///
    /// A code that may not be on the wire ([`CloseCode::is_sendable`]) gives a Close without code and reason. So
    /// the code of [`Event::Close`](crate::Event::Close) can be echoed as it came, also if it was absent.
    pub fn close(code: CloseCode, reason: &str) -> Self {
        if !code.is_sendable() {
            return Self::whole(CLOSE, &[]);
        }
        let reason = &reason[..reason.floor_char_boundary(MAX_CLOSE_REASON_BYTES)];
        let mut payload = [0; MAX_CONTROL_BYTES];
        let length = 2 + reason.len();
        payload[..2].copy_from_slice(&code.get().to_be_bytes());
        payload[2..length].copy_from_slice(reason.as_bytes());
        Self::whole(CLOSE, &payload[..length])
    }

    /// Messages in a row, in one buffer: whoever is sent all of them is sent one thing. None may be a Close.
    pub fn joined<'a>(frames: impl IntoIterator<Item = &'a Self> + Clone) -> Self {
        let length = frames.clone().into_iter().map(Self::len).sum();
        let mut bytes = Vec::with_capacity(length);
        for frame in frames {
            bytes.extend_from_slice(&frame.bytes);
        }
        Self { bytes: bytes.into() }
    }

    /// What goes on the wire.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What goes on the wire, without another reference.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Bytes on the wire, header included: 2 or more.
    #[expect(clippy::len_without_is_empty, reason = "a frame has a header: it is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether this is a Close, after which nothing may be sent.
    pub fn is_close(&self) -> bool {
        self.bytes.first() == Some(&(FIN | CLOSE))
    }

    fn whole(opcode: u8, payload: &[u8]) -> Self {
        let (header, from) = header(opcode, payload.len());
        let header = &header[from..];
        let mut bytes = Vec::with_capacity(header.len() + payload.len());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
        Self { bytes: bytes.into() }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.bytes.first().map_or(0, |first| first & 0x0F) {
            TEXT => "text",
            BINARY => "binary",
            CLOSE => "close",
            PING => "ping",
            _ => "pong",
        };
        write!(f, "Frame({kind}, {} bytes)", self.bytes.len())
    }
}

/// Builds a text frame by writing its payload straight behind room for the header, so that encoding takes one
/// buffer and no copy. Write to it with [`io::Write`] (as `serde_json::to_writer` does) or [`fmt::Write`].
///
/// ```
/// use healthmate_ws::TextFrameBuilder;
/// use std::fmt::Write;
///
/// let mut builder = TextFrameBuilder::with_capacity(64);
/// write!(builder, r#"{{"type":"{}"}}"#, "pong").unwrap();
/// let frame = builder.finish().unwrap();
/// assert_eq!(frame.as_bytes().as_ref(), b"\x81\x0F{\"type\":\"pong\"}");
/// ```
pub struct TextFrameBuilder {
    /// [`MAX_HEADER_BYTES`] of room, then the payload.
    buffer: Vec<u8>,
}

/// A text frame was built from bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text of {bytes} bytes is not valid utf-8 after byte {valid_up_to}")]
pub struct NotText {
    /// Length of the payload, in bytes.
    pub bytes: usize,
    /// How many bytes from the start are valid.
    pub valid_up_to: usize,
}

impl TextFrameBuilder {
    /// A builder with room for a payload of `payload_bytes`; it grows beyond that at the price of a copy.
    pub fn with_capacity(payload_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER_BYTES.saturating_add(payload_bytes));
        buffer.resize(MAX_HEADER_BYTES, 0);
        Self { buffer }
    }

    /// The payload written so far.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[MAX_HEADER_BYTES..]
    }

    /// The frame.
    ///
    /// # Errors
    /// If what was written through [`io::Write`] is not UTF-8.
    pub fn finish(mut self) -> Result<Frame, NotText> {
        let length = self.payload().len();
        if let Err(error) = std::str::from_utf8(self.payload()) {
            return Err(NotText { bytes: length, valid_up_to: error.valid_up_to() });
        }
        let (header, from) = header(TEXT, length);
        self.buffer[from..MAX_HEADER_BYTES].copy_from_slice(&header[from..]);
        // A queue counts the length of its frames: a much larger buffer behind one would escape its budget.
        if self.buffer.capacity() / 2 > self.buffer.len() + 64 {
            self.buffer.shrink_to_fit();
        }
        Ok(Frame { bytes: Bytes::from(self.buffer).slice(from..) })
    }
}

impl io::Write for TextFrameBuilder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for TextFrameBuilder {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for TextFrameBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextFrameBuilder({} bytes)", self.payload().len())
    }
}

/// The shortest header for a payload of `length` bytes, at the end of the array, and where it starts.
fn header(opcode: u8, length: usize) -> ([u8; MAX_HEADER_BYTES], usize) {
    let mut header = [0; MAX_HEADER_BYTES];
    let (from, short) = match length {
        0..=125 => (8, length as u8),
        126..=0xFFFF => {
            header[8..].copy_from_slice(&(length as u16).to_be_bytes());
            (6, 126)
        }
        _ => {
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            (0, 127)
        }
    };
    header[from] = FIN | opcode;
    header[from + 1] = short;
    (header, from)
}

fn cut(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(MAX_CONTROL_BYTES)]
}

#[cfg(test)]
mod tests;
