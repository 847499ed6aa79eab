//! What a client did against the protocol or the limits.

use crate::{CloseCode, Frame};

/// The first thing that a client did against RFC 6455 or the [`Limits`](crate::Limits). It ends the connection:
/// send [`Violation::close_frame`], then close the stream.
///
/// The message holds nothing of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set, though no extension was negotiated.
    #[error("reserved bits of a frame must be 0: no extension was negotiated")]
    ReservedBits,
    /// An opcode that the RFC does not define.
    #[error("opcode {0:#x} is not defined")]
    UnknownOpcode(u8),
    /// A Ping, Pong or Close without FIN.
    #[error("control frame must not be fragmented")]
    FragmentedControl,
    /// A Ping, Pong or Close that announces more than 125 bytes.
    #[error("control frame exceeds 125 bytes")]
    LongControl,
    /// A continuation frame with no message to continue.
    #[error("continuation frame has no message to continue")]
    NothingToContinue,
    /// A text or binary frame before the fragmented message ended.
    #[error("new message begins inside a fragmented one")]
    MessageInterrupted,
    /// A frame without a mask.
    #[error("client frame must be masked")]
    Unmasked,
    /// A length in more bytes than it needs.
    #[error("frame length is not in its shortest form")]
    LengthNotMinimal,
    /// A length of 64 bits with the top bit set.
    #[error("frame length has its top bit set")]
    LengthTopBit,
    /// A frame above the limit.
    #[error("frame of {bytes} bytes exceeds {limit}")]
    FrameTooBig {
        /// The announced length, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u32,
    },
    /// A message above the limit, with the frame that begins here.
    #[error("message of at least {bytes} bytes exceeds {limit}")]
    MessageTooBig {
        /// The length so far, in bytes, with the announced frame.
        bytes: u64,
        /// The limit, in bytes.
        limit: u32,
    },
    /// A text message that is not UTF-8.
    #[error("text message is not valid utf-8")]
    TextNotUtf8,
    /// A Close with a payload of one byte: too short for a code.
    #[error("close payload of 1 byte is too short for a code")]
    ShortClose,
    /// A Close with a code that may not be sent.
    #[error("close code {0} must not be sent")]
    CloseCode(CloseCode),
    /// A Close whose reason is not UTF-8.
    #[error("close reason is not valid utf-8")]
    ReasonNotUtf8,
}

impl Violation {
    /// The code to close with: 1009 for sizes, 1007 for text that is not UTF-8, else 1002.
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TextNotUtf8 | Self::ReasonNotUtf8 => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The Close frame that answers it: [`Violation::code`], and the message as the reason.
    pub fn close_frame(&self) -> Frame {
        Frame::close(self.code(), &self.to_string())
    }
}
