//! One connection of the floor.

use std::io::{self, ErrorKind, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mio::net::TcpStream;
use sha1::{Digest, Sha1};

/// The most that waits for a subscriber that reads slowly, in bytes.
const MAX_UNSENT: usize = 64 * 1024 * 1024;

/// What a connection is here for.
pub enum Kind {
    Handshake,
    /// Hears the topics of these numbers.
    Subscriber(Box<[usize]>),
    /// Sends to the topic of this number.
    Publisher(usize),
    Echo,
}

pub struct Socket {
    stream: TcpStream,
    pub kind: Kind,
    /// The beginning of a frame, or of the handshake, whose end has not come.
    tail: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, kind: Kind::Handshake, tail: Vec::new(), unsent: Vec::new() }
    }

    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.stream.read(scratch)
    }

    /// Writes, or keeps what the socket does not take.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.unsent.is_empty() { self.write_some(bytes)? } else { 0 };
        if self.unsent.len() > MAX_UNSENT {
            return Err(ErrorKind::WriteZero.into());
        }
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Writes what was kept.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        let taken = self.write_some(&unsent)?;
        self.unsent.extend_from_slice(&unsent[taken..]);
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.stream.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Answers the handshake once it is whole, and says what the path `/KIND/TOPICS` asks for.
    pub fn shake_hands(&mut self, bytes: &[u8]) -> io::Result<Option<(String, String)>> {
        self.tail.extend_from_slice(bytes);
        if !self.tail.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        let request = std::mem::take(&mut self.tail);
        let request = String::from_utf8_lossy(&request);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let mut parts = path.split('/').skip(1);
        let kind = parts.next().unwrap_or_default().to_owned();
        let topics = parts.next().unwrap_or_default().to_owned();
        let header = |line: &&str| line.to_ascii_lowercase().starts_with("sec-websocket-key:");
        let key = request.lines().find(header).and_then(|line| line.split_once(':'));
        let (_, key) = key.ok_or(ErrorKind::InvalidData)?;
        let mut digest = Sha1::new();
        digest.update(key.trim());
        digest.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let accept = STANDARD.encode(digest.finalize());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(answer.as_bytes())?;
        Ok(Some((kind, topics)))
    }

    /// Unmasks the messages in `bytes` and appends their frames, as a server sends them.
    pub fn take_frames(&mut self, bytes: &mut [u8], frames: &mut Vec<u8>) -> io::Result<()> {
        if self.tail.is_empty() {
            let used = reframe(bytes, frames)?;
            self.tail.extend_from_slice(&bytes[used..]);
        } else {
            let mut whole = std::mem::take(&mut self.tail);
            whole.extend_from_slice(bytes);
            let used = reframe(&mut whole, frames)?;
            self.tail.extend_from_slice(&whole[used..]);
        }
        Ok(())
    }
}

/// Appends a frame for each whole message, and says how many bytes they took.
fn reframe(bytes: &mut [u8], frames: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    loop {
        let (head, length) = match bytes[used..] {
            [_, length, ..] if length & 0x7f < 126 => (2, usize::from(length & 0x7f)),
            [_, length, high, low, ..] if length & 0x7f == 126 => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            [_, length, ..] if length & 0x7f == 127 => return Err(ErrorKind::InvalidData.into()),
            _ => return Ok(used),
        };
        let (begin, end) = (used + head + 4, used + head + 4 + length);
        if bytes.len() < end {
            return Ok(used);
        }
        match bytes[used] & 0x0f {
            1 => {
                let mask = [bytes[begin - 4], bytes[begin - 3], bytes[begin - 2], bytes[begin - 1]];
                frames.push(0x81);
                if length < 126 {
                    frames.push(length as u8);
                } else {
                    frames.push(126);
                    frames.extend_from_slice(&(length as u16).to_be_bytes());
                }
                let payload = frames.len();
                frames.extend_from_slice(&bytes[begin..end]);
                unmask(&mut frames[payload..], mask);
            }
            8 => return Err(ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
        used = end;
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    rest.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}
