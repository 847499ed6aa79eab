//! The first bytes of a socket: whether they ask for a WebSocket, in a way that needs no HTTP server.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use bytes::Bytes;
use healthmate_session::Endpoint;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use super::MAX_HEAD_BYTES;
use super::framing::{Framing, HeadLimits};
use crate::connection::{Stream, poll_read};
use crate::shard::Shard;

/// How many headers a client may send to be answered here; browsers send some 15.
const MAX_HEADERS: usize = 32;

/// A request to an endpoint.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) endpoint: Endpoint,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// What came after it.
    pub(crate) rest: Bytes,
}

/// Reads until the head of a request is there, or something that HTTP has to say about: the end of the stream, what
/// is no request, or too long.
pub(super) async fn first_bytes(shard: &Shard, stream: &mut Stream) -> io::Result<Bytes> {
    let mut kept = Vec::new();
    poll_fn(|cx| {
        loop {
            let mut room = shard.received.borrow_mut();
            let count = ready!(poll_read(stream, cx, &mut room))?;
            let came = &room[..count];
            // Not looked at for each crumb of a long line.
            let look = kept.is_empty() || came.contains(&b'\n') || kept.len() + count >= MAX_HEAD_BYTES;
            kept.extend_from_slice(came);
            if count == 0 || (look && is_enough(&kept)) {
                return Poll::Ready(Ok::<_, io::Error>(()));
            }
        }
    })
    .await?;
    Ok(kept.into())
}

fn is_enough(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let partial = matches!(httparse::Request::new(&mut headers).parse(bytes), Ok(httparse::Status::Partial));
    !partial || bytes.len() >= MAX_HEAD_BYTES
}

impl Head {
    /// The request at the beginning of `bytes`, if it is one to an endpoint that HTTP/1.1 has nothing to say about.
    pub(super) fn parse(bytes: &Bytes) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return None };
        let (method, path) = (request.method?, request.path?);
        if method != Method::GET.as_str() || request.version != Some(1) || length > MAX_HEAD_BYTES {
            return None;
        }
        let uri = Uri::from_maybe_shared(bytes.slice_ref(path.as_bytes())).ok()?;
        let endpoint = Endpoint::at_path(uri.path())?;
        let mut map = HeaderMap::with_capacity(request.headers.len());
        for header in request.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
            let value = HeaderValue::from_maybe_shared(bytes.slice_ref(header.value)).ok()?;
            map.append(name, value);
        }
        Some(Self { endpoint, uri, headers: map, rest: bytes.slice(length..) })
    }

    /// All that the handshake looks at.
    pub(crate) fn parts(&self) -> (&Method, &Uri, Version, &HeaderMap) {
        (&Method::GET, &self.uri, Version::HTTP_11, &self.headers)
    }
}

/// For the fuzz target: what comes at once and byte by byte is taken, or refused, alike, and where a request is answered
/// here, its head ends where the framing ended it.
pub(crate) fn read_anything(bytes: &[u8]) {
    let limits = HeadLimits { bytes: MAX_HEAD_BYTES, headers: MAX_HEADERS, url: 2048 };
    let (mut whole, mut pieces) = (Framing::new(limits), Framing::new(limits));
    let taken = whole.feed(bytes).is_ok();
    assert_eq!(taken, bytes.chunks(1).all(|byte| pieces.feed(byte).is_ok()), "it depends on how it comes");
    if let Some(head) = Head::parse(&Bytes::copy_from_slice(bytes)).filter(|_| taken) {
        let mut framing = Framing::new(limits);
        let fed = framing.feed(&bytes[..bytes.len() - head.rest.len()]);
        assert!(fed.is_ok() && framing.is_between(), "two readers disagree where the head ends");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Option<Head> {
        Head::parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_request_to_an_endpoint_is_taken_apart() {
        let head =
            parse("GET /ws/health?x=1 HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n\x01\x02");
        let head = head.expect("a request");
        assert_eq!((head.endpoint, head.uri.path()), (Endpoint::Health, "/ws/health"));
        assert_eq!(head.headers.get("host").expect("there"), "a");
        assert_eq!(head.headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(head.rest, "\x01\x02");
    }

    #[test]
    fn everything_else_is_for_http() {
        for text in [
            "GET /ws/health HTTP/1.1\r\nHost: a\r\n",
            "GET /ws/health HTTP/1.0\r\nHost: a\r\n\r\n",
            "POST /ws/health HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /ws/nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /ws/health\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /ws/health HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET /ws/health HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET /ws/health HTTP/1.1\r\nHost: a\x01b\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01\x02",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
        let many = format!("GET /ws/health HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEADERS + 1));
        assert!(Head::parse(&many.into()).is_none());
        let long = format!("GET /ws/health HTTP/1.1\r\nX: {}\r\n\r\n", "1".repeat(MAX_HEAD_BYTES));
        assert!(is_enough(long.as_bytes()) && Head::parse(&long.into()).is_none());
    }

    #[test]
    fn a_head_is_waited_for_until_it_is_whole_or_wrong_or_too_long() {
        let head = "GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n";
        for length in 0..head.len() {
            assert!(!is_enough(&head.as_bytes()[..length]), "{length} bytes");
        }
        assert!(is_enough(head.as_bytes()));
        assert!(is_enough(b"\x16\x03\x01"));
        assert!(is_enough("GET /".repeat(MAX_HEAD_BYTES / 5 + 1).as_bytes()));
    }
}
