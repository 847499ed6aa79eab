//! Received bytes to events: a strict parser that keeps nothing while nothing is incomplete.

mod header;
mod held;
mod mask;
#[cfg(test)]
mod tests;
mod violation;

use std::ops::Range;
use std::{fmt, mem, str};

use self::header::{Header, Opcode};
use self::held::{Held, Message};
pub use self::violation::Violation;
use crate::CloseCode;

/// How much a client may send at once. Control frames are bounded by the RFC (125 bytes) and not by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The payload of one text, binary or continuation frame, in bytes. Default 65 536.
    pub max_frame_bytes: u32,
    /// A whole message, all its frames together, in bytes. Default 65 536. Bounds what a connection can hold.
    pub max_message_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_frame_bytes: 64 * 1024, max_message_bytes: 64 * 1024 }
    }
}

/// What a client sent. It borrows the received bytes: copy what must outlive the next one.
///
/// `Debug` shows kind and length only, since the payload may be health data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A Ping; answer with [`Frame::pong`](crate::Frame::pong) of its payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// A Pong, asked for or not.
    Pong(&'a [u8]),
    /// A Close. It is the last event. Answer with [`Frame::close`](crate::Frame::close) of its code, unless a
    /// Close was sent before.
    Close {
        /// Why; [`CloseCode::NO_STATUS`] if the client gave no code.
        code: CloseCode,
        /// The client's words, possibly empty, at most 123 bytes.
        reason: &'a str,
    },
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(payload) => write!(f, "Binary({} bytes)", payload.len()),
            Self::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Self::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
            Self::Close { code, reason } => write!(f, "Close({code}, {} bytes)", reason.len()),
        }
    }
}

/// One connection's inbound half. Idle it is 24 bytes and owns nothing; see [`Inbound::held_bytes`].
pub struct Inbound {
    limits: Limits,
    finished: bool,
    held: Option<Box<Held>>,
}

const _: () = assert!(size_of::<Inbound>() <= 32, "an idle connection must stay nearly free");

impl Inbound {
    /// The inbound half of a connection whose handshake is done.
    pub fn new(limits: Limits) -> Self {
        Self { limits, finished: false, held: None }
    }

    /// Takes what one read gave. Pull the events until `None`; then every byte of `input` is used up and the
    /// buffer may serve the next connection. `input` is unmasked in place.
    pub fn feed<'a>(&'a mut self, input: &'a mut [u8]) -> Events<'a> {
        Events { inbound: self, input, at: 0, whole: Vec::new() }
    }

    /// Whether a Close or a [`Violation`] was met, after which all further input is ignored.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Heap bytes kept for a frame or message that is not complete; 0 when there is none.
    ///
    /// At most [`Limits::max_message_bytes`] and a constant below 512 bytes.
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes())
    }

    fn finish(&mut self) {
        self.finished = true;
        self.held = None;
    }

    fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    fn message(&self) -> Option<&Message> {
        self.held.as_ref()?.message.as_ref()
    }

    /// Refuses a data frame above a limit from its header alone.
    fn check_limits(&self, header: &Header) -> Result<(), Violation> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let Limits { max_frame_bytes, max_message_bytes } = self.limits;
        if header.length > max_frame_bytes.into() {
            return Err(Violation::FrameTooBig { bytes: header.length, limit: max_frame_bytes });
        }
        let before = self.message().map_or(0, |message| message.payload.len() as u64);
        let bytes = before + header.length;
        if bytes > max_message_bytes.into() {
            return Err(Violation::MessageTooBig { bytes, limit: max_message_bytes });
        }
        Ok(())
    }

    /// Keeps `bytes`, the next part of the payload of the frame `header`, whose length counts from their start.
    fn keep(&mut self, header: &Header, bytes: &[u8]) -> Result<(), Violation> {
        let limit = self.limits.max_message_bytes as usize;
        let held = self.held();
        if header.opcode.is_control() {
            held.control.reserve_exact(header.length as usize);
            held.control.extend_from_slice(bytes);
            return Ok(());
        }
        let message = held.message.get_or_insert_with(|| Message::new(header.opcode));
        let ceiling = if header.fin { message.payload.len() + header.length as usize } else { limit };
        message.append(bytes, ceiling)
    }

    /// Takes out the payload of the complete frame `header`, and the kind of what it completes; `None` if its
    /// message goes on.
    fn take(&mut self, header: &Header) -> Option<(Opcode, Vec<u8>)> {
        let held = self.held.as_mut()?;
        let complete = if header.opcode.is_control() {
            Some((header.opcode, mem::take(&mut held.control)))
        } else if header.fin {
            held.message.take().map(|message| (message.opcode, message.payload))
        } else {
            None
        };
        self.release();
        complete
    }

    fn release(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.is_empty()) {
            self.held = None;
        }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("limits", &self.limits)
            .field("finished", &self.finished)
            .field("held_bytes", &self.held_bytes())
            .finish_non_exhaustive()
    }
}

/// The events of one read, from [`Inbound::feed`]. Dropping it early drops the bytes not read yet; save
/// [`Events::unread`] first to go on later.
pub struct Events<'a> {
    inbound: &'a mut Inbound,
    input: &'a mut [u8],
    at: usize,
    /// The payload of the last event if it did not lie in `input`; freed by the next call.
    whole: Vec<u8>,
}

/// Where the payload of a complete message or control frame lies.
enum Place {
    Input(Range<usize>),
    Whole,
}

impl Events<'_> {
    /// The next event, or `None` if the input is used up or nothing may follow (see [`Inbound::is_finished`]).
    ///
    /// # Errors
    /// The first violation; after it there are no more events.
    #[expect(
        clippy::should_implement_trait,
        reason = "an event borrows from this, as an `Iterator` cannot give"
    )]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Violation> {
        let (opcode, place) = match self.advance() {
            Ok(Some(complete)) => complete,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.inbound.finish();
                return Err(violation);
            }
        };
        let payload = match place {
            Place::Input(range) => &self.input[range],
            Place::Whole => &self.whole,
        };
        let event = event(opcode, payload);
        if !matches!(event, Ok(Event::Text(_) | Event::Binary(_) | Event::Ping(_) | Event::Pong(_))) {
            self.inbound.finish();
        }
        event.map(Some)
    }

    /// The bytes not read yet: complete frames, as they came, of which no event was given.
    pub fn unread(&self) -> &[u8] {
        &self.input[self.at..]
    }

    /// Reads on until a message or control frame is complete.
    fn advance(&mut self) -> Result<Option<(Opcode, Place)>, Violation> {
        self.whole = Vec::new();
        while !self.inbound.finished {
            let Some((header, fresh)) = self.frame()? else {
                return Ok(None);
            };
            let arrived = self.unread().len().min(usize::try_from(header.length).unwrap_or(usize::MAX));
            let range = self.at..self.at + arrived;
            self.at = range.end;
            let mut rest = header;
            rest.length -= arrived as u64;
            rest.mask.apply(&mut self.input[range.clone()]);
            if fresh && rest.length == 0 && header.completes_alone() {
                self.inbound.release();
                return Ok(Some((header.opcode, Place::Input(range))));
            }
            self.inbound.keep(&header, &self.input[range])?;
            if rest.length > 0 {
                self.inbound.held().frame = Some(rest);
                return Ok(None);
            }
            if let Some((opcode, payload)) = self.inbound.take(&header) {
                self.whole = payload;
                return Ok(Some((opcode, Place::Whole)));
            }
        }
        Ok(None)
    }

    /// The frame whose payload comes next, and whether none of its payload came before; `None` if its header is
    /// not complete yet, in which case all input is used up.
    fn frame(&mut self) -> Result<Option<(Header, bool)>, Violation> {
        let input = &self.input[self.at..];
        let header = if let Some(held) = self.inbound.held.as_mut() {
            if let Some(frame) = held.frame.take() {
                return Ok(Some((frame, false)));
            }
            let (header, taken) = held.complete_header(input)?;
            self.at += taken;
            header
        } else if let Some((header, size)) = Header::parse(input, false)? {
            self.at += size;
            Some(header)
        } else {
            if !input.is_empty() {
                self.inbound.held.get_or_insert_default().complete_header(input)?;
                self.at = self.input.len();
            }
            None
        };
        let Some(header) = header else { return Ok(None) };
        self.inbound.check_limits(&header)?;
        Ok(Some((header, true)))
    }
}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} bytes unread)", self.unread().len())
    }
}

fn event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    match opcode {
        Opcode::Text => str::from_utf8(payload).map(Event::Text).map_err(|_| Violation::TextNotUtf8),
        // A message has the opcode of its first frame, so a continuation is never complete by itself.
        Opcode::Binary | Opcode::Continuation => Ok(Event::Binary(payload)),
        Opcode::Ping => Ok(Event::Ping(payload)),
        Opcode::Pong => Ok(Event::Pong(payload)),
        Opcode::Close => close(payload),
    }
}

fn close(payload: &[u8]) -> Result<Event<'_>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        let absent = Event::Close { code: CloseCode::NO_STATUS, reason: "" };
        return if payload.is_empty() { Ok(absent) } else { Err(Violation::ShortClose) };
    };
    let code = CloseCode::new(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(Violation::CloseCode(code));
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::ReasonNotUtf8)?;
    Ok(Event::Close { code, reason })
}
