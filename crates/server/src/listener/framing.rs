//! Where one request ends and the next begins, read strictly: what two readers could understand in two ways is
//! refused, so that no proxy before this server and no parser inside it can disagree (RFC 9112, section 11.2).
//!
//! Everything that hyper reads of a socket goes by here first, and what `head.rs` answers too. It keeps no more than
//! one head.

#[cfg(test)]
mod tests;
mod violation;

use memchr::memchr;

pub(crate) use self::violation::Violation;
use crate::config::LimitSettings;

/// The longest line with the size of a chunk, its extensions included, in bytes.
const CHUNK_LINE_BYTES: usize = 256;

/// How large heads may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// The whole head, in bytes.
    pub(crate) bytes: usize,
    /// How many headers.
    pub(crate) headers: usize,
    /// The target of the request line, in bytes.
    pub(crate) url: usize,
}

impl HeadLimits {
    pub(crate) fn of(limits: &LimitSettings) -> Self {
        Self {
            bytes: limits.head_bytes as usize,
            headers: limits.headers_per_request as usize,
            url: limits.url_bytes as usize,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A line of a head.
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The size of a chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// A line of the trailer.
    Trailer,
    /// No HTTP, or the last of it: whoever asks for another protocol gets it, or an answer and the end.
    Anything,
}

/// Follows the requests of one socket.
#[derive(Debug)]
pub(crate) struct Framing {
    limits: HeadLimits,
    next: Next,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// What the head, or the trailer, took up to that line, in bytes.
    taken: usize,
    head: Head,
}

/// What a head says about itself.
#[derive(Debug, Default)]
struct Head {
    /// Whether it is HTTP/1.1; `None` before the request line.
    http_11: Option<bool>,
    /// Whether it asks for another protocol.
    leaves: bool,
    headers: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Before the first request.
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits, next: Next::Head, line: Vec::new(), taken: 0, head: Head::default() }
    }

    /// Follows what came next.
    ///
    /// # Errors
    /// The first rule that is broken, and how many of `bytes` may be read before it.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), (usize, Violation)> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.next {
                Next::Anything => return Ok(()),
                Next::Body(left) => at += self.skip(rest, left, Next::Body, Next::Head),
                Next::Chunk(left) => at += self.skip(rest, left, Next::Chunk, Next::ChunkEnd),
                Next::Head | Next::ChunkSize | Next::ChunkEnd | Next::Trailer => {
                    let end = memchr(b'\n', rest);
                    let (part, ended) = (&rest[..end.unwrap_or(rest.len())], end.is_some());
                    at += part.len();
                    self.take_in(part, ended).map_err(|violation| (at, violation))?;
                    at += usize::from(ended);
                }
            }
        }
        Ok(())
    }

    /// Whether a head ends here: what comes next is a body, another head, or no HTTP.
    pub(super) fn is_between(&self) -> bool {
        self.next != Next::Head || (self.line.is_empty() && self.taken == 0)
    }

    fn skip(&mut self, rest: &[u8], left: u64, more: fn(u64) -> Next, then: Next) -> usize {
        let count = left.min(rest.len() as u64);
        self.next = if count == left { then } else { more(left - count) };
        count as usize
    }

    /// Part of a line; the last one if it `ended`. What comes whole is not copied.
    fn take_in(&mut self, part: &[u8], ended: bool) -> Result<(), Violation> {
        if ended && self.line.is_empty() {
            self.check_room(part)?;
            return self.end_line(part);
        }
        self.line.extend_from_slice(part);
        let line = std::mem::take(&mut self.line);
        self.check_room(&line)?;
        if ended {
            return self.end_line(&line);
        }
        self.line = line;
        Ok(())
    }

    /// A line that never ends is refused before it does.
    fn check_room(&self, line: &[u8]) -> Result<(), Violation> {
        let length = line.len();
        match self.next {
            Next::ChunkSize | Next::ChunkEnd if length > CHUNK_LINE_BYTES => Err(Violation::Chunk),
            Next::Head if self.head.http_11.is_none() && length > self.limits.url + 32 => {
                Err(if line.contains(&b' ') { Violation::UrlTooLong } else { Violation::RequestLine })
            }
            _ if self.taken + length > self.limits.bytes => Err(Violation::HeadTooLong),
            _ => Ok(()),
        }
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let line = line.strip_suffix(b"\r").ok_or(Violation::LineEnd)?;
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Violation::Control);
        }
        self.taken += line.len() + 2;
        if self.taken > self.limits.bytes {
            return Err(Violation::HeadTooLong);
        }
        match self.next {
            Next::Head if self.head.http_11.is_none() => self.request_line(line),
            Next::Head if line.is_empty() => self.end_head(),
            Next::Head => self.header(line),
            Next::ChunkSize => self.chunk_size(line),
            Next::ChunkEnd if line.is_empty() => {
                (self.next, self.taken) = (Next::ChunkSize, 0);
                Ok(())
            }
            Next::ChunkEnd => Err(Violation::Chunk),
            Next::Trailer if line.is_empty() => {
                self.begin_head();
                Ok(())
            }
            Next::Trailer => split_header(line).map(|_| ()),
            Next::Body(_) | Next::Chunk(_) | Next::Anything => Ok(()),
        }
    }

    fn begin_head(&mut self) {
        (self.next, self.taken, self.head) = (Next::Head, 0, Head::default());
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        if line.is_empty() {
            // Some clients send a line end after a body (RFC 9112, section 2.2).
            return Ok(());
        }
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Violation::RequestLine);
        };
        let visible = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        if !is_token(method) || !visible(target) || !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
            return Err(Violation::RequestLine);
        }
        if target.len() > self.limits.url {
            return Err(Violation::UrlTooLong);
        }
        self.head.http_11 = Some(version == b"HTTP/1.1");
        self.head.leaves = method == b"CONNECT";
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = split_header(line)?;
        let head = &mut self.head;
        head.headers += 1;
        if head.headers > self.limits.headers {
            return Err(Violation::TooManyHeaders);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).filter(|_| head.length.is_none());
            head.length = Some(length.ok_or(Violation::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if head.chunked || head.http_11 != Some(true) || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::TransferEncoding);
            }
            head.chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") {
            head.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            head.leaves = true;
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Violation> {
        let head = &self.head;
        if head.hosts > 1 || (head.http_11 == Some(true) && head.hosts == 0) {
            return Err(Violation::Host);
        }
        if head.chunked && head.length.is_some() {
            return Err(Violation::TwoLengths);
        }
        let next = match head.length {
            _ if head.leaves => Next::Anything,
            _ if head.chunked => Next::ChunkSize,
            Some(length) if length > 0 => Next::Body(length),
            _ => Next::Head,
        };
        self.begin_head();
        self.next = next;
        Ok(())
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Violation> {
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = hexadecimal(digits).ok_or(Violation::Chunk)?;
        self.next = if size == 0 { Next::Trailer } else { Next::Chunk(size) };
        Ok(())
    }
}

/// Name and value of a header, without the spaces around the value.
fn split_header(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Violation::Folded);
    }
    let colon = memchr(b':', line).ok_or(Violation::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if is_token(name) { Ok((name, value.trim_ascii())) } else { Err(Violation::HeaderName) }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(token)
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 19 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Eight digits at most: a chunk of four gigabytes is past every limit.
fn hexadecimal(text: &[u8]) -> Option<u64> {
    let digits = (1..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    let digit = |byte: &u8| u64::from(char::from(*byte).to_digit(16).unwrap_or_default());
    digits.then(|| text.iter().fold(0, |number, byte| number * 16 + digit(byte)))
}
