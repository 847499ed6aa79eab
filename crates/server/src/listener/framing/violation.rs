//! What is wrong with the framing of a request.

use healthmate_protocol::ErrorCode;
use http::StatusCode;

use crate::http::Problem;
use crate::telemetry::RequestRefusal;

/// Which rule a request breaks; the message is fit to be shown, and holds no value of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// A line feed alone, or a carriage return alone.
    #[error("each line must end with CR LF")]
    LineEnd,
    /// A NUL, an escape, …
    #[error("a head must hold no control characters")]
    Control,
    /// Anything but `METHOD target HTTP/1.1`, with single spaces.
    #[error("the first line must be METHOD target HTTP/1.1")]
    RequestLine,
    /// A header that goes on in the next line.
    #[error("a header must be one line")]
    Folded,
    /// No colon, or a name that is none; a space before the colon is part of the name.
    #[error("a header must be a name, a colon and a value, without a space before the colon")]
    HeaderName,
    /// None, or more than one.
    #[error("header host must be there once")]
    Host,
    /// No number, or there twice.
    #[error("header content-length must be one number of at most 19 digits, once")]
    ContentLength,
    /// Anything but `chunked`, once, in HTTP/1.1.
    #[error("header transfer-encoding must be chunked, once, in HTTP/1.1")]
    TransferEncoding,
    /// The body has two lengths.
    #[error("content-length and transfer-encoding must not come together")]
    TwoLengths,
    /// A chunk that does not begin with its size and end where that says.
    #[error("a chunk must be its size, of at most 8 hexadecimal digits, and as many bytes")]
    Chunk,
    /// 414
    #[error("the address is longer than limits.url_bytes")]
    UrlTooLong,
    /// 431
    #[error("the head is longer than limits.head_bytes")]
    HeadTooLong,
    /// 431
    #[error("there are more headers than limits.headers_per_request")]
    TooManyHeaders,
}

impl Violation {
    /// What it is counted as.
    pub(crate) fn reason(self) -> RequestRefusal {
        match self {
            Self::UrlTooLong | Self::HeadTooLong | Self::TooManyHeaders => RequestRefusal::TooLarge,
            _ => RequestRefusal::Malformed,
        }
    }

    /// What the client is told.
    pub(crate) fn problem(self) -> Problem {
        let status = match self {
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLong | Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(ErrorCode::InvalidField, self.to_string()).with_status(status)
    }
}
