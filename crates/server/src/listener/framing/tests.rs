use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, headers: 8, url: 100 };

/// What comes of `bytes`, fed in pieces of `piece`; the place of a violation counts from the start.
fn feed(bytes: &[u8], piece: usize) -> Result<Next, (usize, Violation)> {
    let mut framing = Framing::new(LIMITS);
    for (number, piece_of) in bytes.chunks(piece).enumerate() {
        framing.feed(piece_of).map_err(|(at, violation)| (number * piece + at, violation))?;
    }
    Ok(framing.next)
}

fn refused(text: &str) -> Option<Violation> {
    feed(text.as_bytes(), usize::MAX).err().map(|(_, violation)| violation)
}

fn head(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn requests_that_browsers_and_proxies_send_pass() {
    for text in [
        head(""),
        head("X:\r\nY:   spaces   \r\nZ: a\tb \u{fc}\r\nCookie: a=b; c=\"d\"\r\n"),
        format!("\r\n{}", head("")),
        "GET http://a.example/v1/me?x=%00 HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        format!("{}12345{}", head("Content-Length: 5\r\n"), head("")),
        format!("{}{}", head("Content-Length: 0\r\n"), head("")),
        format!(
            "{}5;a=b\r\n12345\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\n{}",
            head("Transfer-Encoding: Chunked\r\n"),
            head("")
        ),
    ] {
        for piece in [1, 2, 7, usize::MAX] {
            assert_eq!(feed(text.as_bytes(), piece), Ok(Next::Head), "{text:?}");
        }
    }
    let upgrade = format!("{}\n\0anything", head("Upgrade: websocket\r\n"));
    assert_eq!(feed(upgrade.as_bytes(), 3), Ok(Next::Anything));
}

#[test]
fn every_shape_of_smuggling_is_refused() {
    use Violation as V;
    let chunked = head("Transfer-Encoding: chunked\r\n");
    let cases = [
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), V::TwoLengths),
        (head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), V::TwoLengths),
        (head("Content-Length: 5\r\nContent-Length: 5\r\n"), V::ContentLength),
        (head("Content-Length: 5\r\ncontent-length: 6\r\n"), V::ContentLength),
        (head("Content-Length: 5, 5\r\n"), V::ContentLength),
        (head("Content-Length: +5\r\n"), V::ContentLength),
        (head("Content-Length: -1\r\n"), V::ContentLength),
        (head("Content-Length: 0x5\r\n"), V::ContentLength),
        (head("Content-Length: 5 5\r\n"), V::ContentLength),
        (head("Content-Length:\r\n"), V::ContentLength),
        (head("Content-Length: 99999999999999999999\r\n"), V::ContentLength),
        (head("Transfer-Encoding: xchunked\r\n"), V::TransferEncoding),
        (head("Transfer-Encoding: gzip, chunked\r\n"), V::TransferEncoding),
        (head("Transfer-Encoding: chunked, identity\r\n"), V::TransferEncoding),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), V::TransferEncoding),
        (head("Transfer-Encoding: \x0bchunked\r\n"), V::Control),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), V::TransferEncoding),
        (head("Transfer-Encoding : chunked\r\n"), V::HeaderName),
        (head("Transfer-Encoding\t: chunked\r\n"), V::HeaderName),
        (head("Content-Length\0: 5\r\n"), V::Control),
        (head("X: a\r\n Transfer-Encoding: chunked\r\n"), V::Folded),
        (head("X: a\r\n\tfolded\r\n"), V::Folded),
        (head("X: a\nTransfer-Encoding: chunked\r\n"), V::LineEnd),
        (head("X: a\rTransfer-Encoding: chunked\r\n"), V::Control),
        (head("X: a\r\r\n"), V::Control),
        (head("no colon\r\n"), V::HeaderName),
        (head(": no name\r\n"), V::HeaderName),
        (head("Host: b\r\n"), V::Host),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), V::Host),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), V::LineEnd),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), V::RequestLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned(), V::RequestLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), V::RequestLine),
        ("GET /\r\n".to_owned(), V::RequestLine),
        ("G@T / HTTP/1.1\r\n".to_owned(), V::RequestLine),
        ("GET /\u{e9} HTTP/1.1\r\n".to_owned(), V::RequestLine),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), V::RequestLine),
        (format!("{chunked}g\r\n"), V::Chunk),
        (format!("{chunked}5\r\n123456\r\n"), V::Chunk),
        (format!("{chunked}5\r\n12345\n"), V::LineEnd),
        (format!("{chunked}5\n12345\r\n"), V::LineEnd),
        (format!("{chunked}5;a\nb\r\n"), V::LineEnd),
        (format!("{chunked}-5\r\n"), V::Chunk),
        (format!("{chunked}0x5\r\n"), V::Chunk),
        (format!("{chunked} 5\r\n"), V::Chunk),
        (format!("{chunked}\r\n"), V::Chunk),
        (format!("{chunked}100000000\r\n"), V::Chunk),
        (format!("{chunked}5;{}", "x".repeat(CHUNK_LINE_BYTES)), V::Chunk),
        (format!("{chunked}0\r\nX : y\r\n"), V::HeaderName),
    ];
    for (text, violation) in cases {
        assert_eq!(refused(&text), Some(violation), "{text:?}");
    }
}

#[test]
fn each_limit_is_taken_at_it_and_refused_past_it() {
    let url = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    assert_eq!((refused(&url(100)), refused(&url(101))), (None, Some(Violation::UrlTooLong)));
    assert_eq!(refused(&format!("GET /{}", "x".repeat(200))), Some(Violation::UrlTooLong));
    let headers = |count: usize| head(&"X: y\r\n".repeat(count - 1));
    assert_eq!((refused(&headers(8)), refused(&headers(9))), (None, Some(Violation::TooManyHeaders)));
    let long = |length: usize| head(&format!("X: {}\r\n", "y".repeat(length - head("X: \r\n").len())));
    assert_eq!((refused(&long(1024)), refused(&long(1025))), (None, Some(Violation::HeadTooLong)));
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1024));
    assert_eq!(refused(&endless), Some(Violation::HeadTooLong), "before the line ends");
}

proptest! {
    /// However the bytes are cut, the answer is the same, and no more is kept than a head takes.
    #[test]
    fn the_answer_does_not_depend_on_the_pieces(
        parts in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "\n", "\r", "Content-Length: 3\r\n", "abc",
            "Transfer-Encoding: chunked\r\n", "3\r\n", "0\r\n", " ", "X: y\r\n", "Upgrade: x\r\n", "\0",
        ]), 0..20),
        piece in 1usize..9,
    ) {
        let text = parts.concat();
        let whole = feed(text.as_bytes(), text.len().max(1));
        prop_assert_eq!(whole, feed(text.as_bytes(), piece));
        let mut framing = Framing::new(LIMITS);
        for byte in text.as_bytes() {
            if framing.feed(&[*byte]).is_err() {
                break;
            }
            prop_assert!(framing.line.len() <= LIMITS.bytes);
        }
    }
}
