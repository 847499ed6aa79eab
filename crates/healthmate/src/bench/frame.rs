//! The least of WebSocket that a generator needs: frames out, masked; frames in, found in what one read brought.

/// Every frame is masked with the same key: a server unmasks it all the same.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Set where a frame's length stands, if it is masked.
const MASKED: u8 = 0x80;
/// Says that the length follows in two bytes.
const LONG: u8 = 126;
/// Says that the length follows in eight bytes.
const LONGEST: u8 = 127;

/// Appends `payload` as one masked text frame.
pub(crate) fn push_text(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    match payload.len() {
        length @ ..=125 => out.push(MASKED | length as u8),
        length @ 126..65_536 => {
            out.push(MASKED | LONG);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | LONGEST);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let begin = out.len();
    out.extend_from_slice(payload);
    let (words, rest) = out[begin..].as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(MASK)).to_ne_bytes();
    }
    rest.iter_mut().zip(MASK).for_each(|(byte, mask)| *byte ^= mask);
}

/// One frame of a server: its opcode, its payload, and how many bytes it takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    pub(crate) length: usize,
}

/// The frame at the start of `bytes`, if all of it is there.
pub(crate) fn first(bytes: &[u8]) -> Option<Frame<'_>> {
    let (head, length) = match *bytes {
        [_, LONG, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [_, LONGEST, ..] => {
            let length = bytes.get(2..10)?.try_into().map(u64::from_be_bytes).ok()?;
            (10, usize::try_from(length).ok()?)
        }
        [_, length @ ..=125, ..] => (2, usize::from(length)),
        _ => return None,
    };
    let end = head + length;
    let payload = bytes.get(head..end)?;
    Some(Frame { opcode: bytes[0] & 0x0f, payload, length: end })
}

/// Reads the number after a marker such as `"offset":`, which stands near the start of each message, mostly at the
/// same place as in the message before.
#[derive(Debug)]
pub(crate) struct Numbered {
    marker: &'static [u8],
    place: usize,
}

impl Numbered {
    /// Reads what follows `marker`.
    pub(crate) fn after(marker: &'static str) -> Self {
        Self { marker: marker.as_bytes(), place: 0 }
    }

    /// The number in `message`; `None` if the marker is not there.
    pub(crate) fn read(&mut self, message: &[u8]) -> Option<u64> {
        let length = self.marker.len();
        if message.get(self.place..self.place + length) != Some(self.marker) {
            self.place = message.windows(length).position(|window| window == self.marker)?;
        }
        let digits = message[self.place + length..].iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_whole_or_not_at_all() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x81];
            match length {
                0..126 => bytes.push(length as u8),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + length, b'x');
            let found = first(&bytes).expect("whole");
            assert_eq!((found.opcode, found.payload.len(), found.length), (1, length, bytes.len()));
            assert_eq!(first(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn a_sent_frame_unmasks_to_its_payload() {
        for length in [0, 3, 125, 126, 65_536] {
            let payload: Vec<u8> = (0..length).map(|n: usize| n as u8).collect();
            let mut out = Vec::new();
            push_text(&payload, &mut out);
            let sent = &out[out.len() - length..];
            let unmasked: Vec<u8> = sent.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(unmasked, payload);
            assert_eq!(out[1] & 0x80, 0x80, "masked");
        }
    }

    #[test]
    fn numbers_are_read_where_the_marker_stands() {
        let mut numbered = Numbered::after("\"offset\":");
        assert_eq!(numbered.read(br#"{"type":"x","offset":41,"data":{}}"#), Some(41));
        assert_eq!(numbered.read(br#"{"type":"x","offset":42}"#), Some(42));
        assert_eq!(numbered.read(br#"{"a":1,"offset":7}"#), Some(7));
        assert_eq!(numbered.read(br#"{"type":"heartbeat"}"#), None);
    }
}
