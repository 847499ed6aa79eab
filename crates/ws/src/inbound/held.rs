//! What a connection keeps while a frame or a message is incomplete.

use std::str;

use super::Violation;
use super::header::{Header, MAX_HEADER_BYTES, Opcode};

/// All that is kept between two reads. An idle connection has none.
#[derive(Default)]
pub(super) struct Held {
    header: [u8; MAX_HEADER_BYTES],
    header_len: u8,
    /// The frame whose payload is still arriving; its length is what is still to come.
    pub(super) frame: Option<Header>,
    /// The payload so far of an incomplete Ping, Pong or Close.
    pub(super) control: Vec<u8>,
    /// The message so far, from its first frame's header on.
    pub(super) message: Option<Message>,
}

impl Held {
    /// Whether nothing needs to be kept.
    pub(super) fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Heap bytes behind this value, itself included.
    pub(super) fn bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.payload.capacity());
        size_of::<Self>() + self.control.capacity() + message
    }

    /// Completes a header whose start is held with the bytes of `input`; also says how many of those it took.
    pub(super) fn complete_header(&mut self, input: &[u8]) -> Result<(Option<Header>, usize), Violation> {
        let before = usize::from(self.header_len);
        let taken = input.len().min(MAX_HEADER_BYTES - before);
        self.header[before..before + taken].copy_from_slice(&input[..taken]);
        let parsed = Header::parse(&self.header[..before + taken], self.message.is_some())?;
        Ok(if let Some((header, size)) = parsed {
            self.header_len = 0;
            (Some(header), size - before)
        } else {
            self.header_len = (before + taken) as u8;
            (None, taken)
        })
    }
}

/// A data message that does not lie in one piece of input.
pub(super) struct Message {
    pub(super) opcode: Opcode,
    pub(super) payload: Vec<u8>,
    /// How much of a text is known to be UTF-8.
    valid: usize,
}

impl Message {
    pub(super) fn new(opcode: Opcode) -> Self {
        Self { opcode, payload: Vec::new(), valid: 0 }
    }

    /// Appends unmasked bytes. The buffer grows by doubling, but never past `ceiling`, the most that this message
    /// can still become.
    ///
    /// # Errors
    /// If it is text and cannot become UTF-8 any more, whatever follows.
    pub(super) fn append(&mut self, bytes: &[u8], ceiling: usize) -> Result<(), Violation> {
        let length = self.payload.len() + bytes.len();
        if length > self.payload.capacity() {
            let target = (2 * self.payload.capacity()).min(ceiling).max(length);
            self.payload.reserve_exact(target - self.payload.len());
        }
        self.payload.extend_from_slice(bytes);
        if self.opcode == Opcode::Text { self.check_text() } else { Ok(()) }
    }

    fn check_text(&mut self) -> Result<(), Violation> {
        match str::from_utf8(&self.payload[self.valid..]) {
            Ok(text) => self.valid += text.len(),
            Err(error) if error.error_len().is_some() => return Err(Violation::TextNotUtf8),
            // Ends inside a character that the next bytes may complete.
            Err(error) => self.valid += error.valid_up_to(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Opcode};

    #[test]
    fn text_is_not_checked_again_from_its_start() {
        let mut message = Message::new(Opcode::Text);
        // Each part ends inside a character, the worst place to be cut.
        for part in "€".repeat(400).as_bytes().chunks(7) {
            message.append(part, 1200).unwrap();
            assert!(message.payload.len() - message.valid < 3, "{} valid", message.valid);
        }
        assert_eq!(message.valid, 1200);
    }
}
