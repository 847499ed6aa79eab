//! From an HTTP/1.1 request to a WebSocket, or to the reason why not.

mod origin;
mod refusal;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version};
use sha1::{Digest as _, Sha1};

pub use self::origin::{InvalidOrigin, OriginPolicy};
pub use self::refusal::Refusal;

/// The most subprotocols that a client may offer.
pub const MAX_SUBPROTOCOLS: usize = 16;

/// The one version of the protocol.
const VERSION: &str = "13";

/// What the RFC appends to a key, so that nobody but a WebSocket server gives the right answer.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The RFC asks that a key decode to 16 bytes, and some clients leave its four unused bits set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request that asked correctly for a WebSocket. Who may have one is the caller's decision, before
/// [`Handshake::response`]: see [`OriginPolicy`].
///
/// `Debug` does not show the subprotocols, since a browser may pass its token as one.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    accept: HeaderValue,
    subprotocols: Vec<String>,
    origin: Option<String>,
    host: String,
}

impl Handshake {
    /// Checks a request against RFC 6455, section 4.2.1.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(request: &Parts) -> Result<Self, Refusal> {
        Self::check_head(&request.method, &request.uri, request.version, &request.headers)
    }

    /// As [`Handshake::check`], for a request that was taken apart.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_head(
        method: &Method,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        if method != Method::GET {
            return Err(Refusal::NotGet);
        }
        let upgrade = names(headers, &UPGRADE, "websocket");
        let marked = headers.contains_key(SEC_WEBSOCKET_KEY) || headers.contains_key(SEC_WEBSOCKET_VERSION);
        if !upgrade && !marked {
            return Err(Refusal::NotWebSocket);
        }
        if version != Version::HTTP_11 {
            return Err(Refusal::NotHttp11);
        }
        if !upgrade {
            return Err(Refusal::Upgrade);
        }
        if !names(headers, &CONNECTION, "upgrade") {
            return Err(Refusal::Connection);
        }
        check_version(headers)?;
        check_no_body(headers)?;
        let host = required(headers, &HOST, "host")?;
        Ok(Self {
            accept: accept(required(headers, &SEC_WEBSOCKET_KEY, "sec-websocket-key")?)?,
            subprotocols: subprotocols(headers)?,
            origin: once(headers, &ORIGIN, "origin")?.map(str::to_owned),
            // A target in absolute form overrules the header (RFC 9112, section 3.2.2).
            host: uri.authority().map_or(host, |authority| authority.as_str()).to_owned(),
        })
    }

    /// The subprotocols that the client offers, its favourite first; 16 at most.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocols.iter().map(String::as_str)
    }

    /// The page that a browser acts for; `None` if the client is no browser.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The host, and possibly port, that the client meant to reach.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The 101 that opens the WebSocket; what follows it on the connection is frames.
    ///
    /// `selected` is the subprotocol to speak. One that the client did not offer is left out, as the client would
    /// have to fail the connection over it.
    pub fn response(&self, selected: Option<&str>) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        let offered = selected.filter(|selected| self.subprotocols().any(|offered| offered == *selected));
        if let Some(Ok(name)) = offered.map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        response
    }

    /// The same as [`Handshake::response`], as it goes over the wire.
    pub fn response_head(&self, selected: Option<&str>) -> Vec<u8> {
        let response = self.response(selected);
        let mut head = Vec::with_capacity(192);
        head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in response.headers() {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("host", &self.host)
            .field("origin", &self.origin)
            .field("subprotocols", &self.subprotocols.len())
            .finish_non_exhaustive()
    }
}

/// The value of a header that may come once.
fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::Repeated(shown));
    }
    value.to_str().map(|value| Some(value.trim())).map_err(|_| Refusal::NotAscii(shown))
}

fn required<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &'static str) -> Result<&'a str, Refusal> {
    once(headers, name, shown)?.ok_or(Refusal::Missing(shown))
}

/// Whether a header that is a list, in one line or many, names `token`.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let version = required(headers, &SEC_WEBSOCKET_VERSION, "sec-websocket-version")?;
    if version == VERSION {
        return Ok(());
    }
    let canonical = version.parse::<u8>().is_ok_and(|number| number.to_string() == version);
    Err(if canonical { Refusal::Version } else { Refusal::MalformedVersion })
}

fn check_no_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let empty = once(headers, &CONTENT_LENGTH, "content-length")?.is_none_or(|length| length == "0");
    if empty && !headers.contains_key(TRANSFER_ENCODING) { Ok(()) } else { Err(Refusal::Body) }
}

/// The answer to a key: proof that this is a WebSocket server and that the answer is not a cached one.
fn accept(key: &str) -> Result<HeaderValue, Refusal> {
    let mut decoded = [0; 18];
    if BASE64.decode_slice(key, &mut decoded) != Ok(16) {
        return Err(Refusal::Key);
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(BASE64.encode(digest)).map_err(|_| Refusal::Key)
}

fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let mut offered: Vec<String> = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let value = value.to_str().map_err(|_| Refusal::NotAscii("sec-websocket-protocol"))?;
        for name in value.split(',').map(str::trim) {
            if !is_token(name) || offered.iter().any(|earlier| earlier == name) {
                return Err(Refusal::Subprotocol);
            }
            if offered.len() == MAX_SUBPROTOCOLS {
                return Err(Refusal::TooManySubprotocols);
            }
            offered.push(name.to_owned());
        }
    }
    Ok(offered)
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token_byte)
}
