//! The header of a client's frame.

use super::Violation;
use super::mask::Mask;

/// The longest header of a client's frame: two bytes, a length of eight, a mask of four.
pub(super) const MAX_HEADER_BYTES: usize = 14;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A header that keeps every rule a header can keep by itself.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// Of the payload, in bytes.
    pub(super) length: u64,
    pub(super) mask: Mask,
}

impl Header {
    /// Whether this frame is a whole message or a control frame, so that nothing before it is needed.
    pub(super) fn completes_alone(&self) -> bool {
        self.fin && self.opcode != Opcode::Continuation
    }

    /// Reads the header at the start of `bytes` and says how long it is; `None` if it is incomplete.
    ///
    /// `continuing` tells whether a fragmented message is open. Each rule is checked as soon as the bytes it needs
    /// are there, and in their order, so that the answer does not depend on how the bytes were cut.
    pub(super) fn parse(bytes: &[u8], continuing: bool) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (fin, opcode) = parse_first(first, continuing)?;
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        check_second(second, opcode)?;
        let Some((length, after)) = parse_length(second & 0x7F, &bytes[2..])? else {
            return Ok(None);
        };
        let Some(&key) = after.first_chunk() else {
            return Ok(None);
        };
        let size = bytes.len() - after.len() + key.len();
        Ok(Some((Self { fin, opcode, length, mask: Mask::new(key) }, size)))
    }
}

fn parse_first(first: u8, continuing: bool) -> Result<(bool, Opcode), Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBits);
    }
    let opcode = match first & 0x0F {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        unknown => return Err(Violation::UnknownOpcode(unknown)),
    };
    let fin = first & 0x80 != 0;
    match opcode {
        Opcode::Continuation if !continuing => Err(Violation::NothingToContinue),
        Opcode::Text | Opcode::Binary if continuing => Err(Violation::MessageInterrupted),
        Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => Err(Violation::FragmentedControl),
        _ => Ok((fin, opcode)),
    }
}

fn check_second(second: u8, opcode: Opcode) -> Result<(), Violation> {
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    if opcode.is_control() && second & 0x7F > 125 {
        return Err(Violation::LongControl);
    }
    Ok(())
}

/// The length, and the bytes after it; `None` if they end before.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    match short {
        126 => {
            let Some((length, after)) = bytes.split_first_chunk() else {
                return Ok(None);
            };
            match u16::from_be_bytes(*length) {
                0..126 => Err(Violation::LengthNotMinimal),
                length => Ok(Some((length.into(), after))),
            }
        }
        127 => {
            let Some((length, after)) = bytes.split_first_chunk() else {
                return Ok(None);
            };
            match u64::from_be_bytes(*length) {
                length if length >> 63 != 0 => Err(Violation::LengthTopBit),
                0..0x1_0000 => Err(Violation::LengthNotMinimal),
                length => Ok(Some((length, after))),
            }
        }
        short => Ok(Some((short.into(), bytes))),
    }
}
