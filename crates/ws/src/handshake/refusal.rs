//! Why a request does not become a WebSocket.

use http::header::{ALLOW, CONNECTION, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{MAX_SUBPROTOCOLS, VERSION};

/// Why a request does not become a WebSocket; the message is fit to be shown, and holds no value of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 405: not GET.
    #[error("method must be GET")]
    NotGet,
    /// 400: not HTTP/1.1.
    #[error("version must be HTTP/1.1")]
    NotHttp11,
    /// 426: an ordinary GET, no WebSocket handshake.
    #[error("this address speaks websocket: connect with a websocket client")]
    NotWebSocket,
    /// 400: a header is missing.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// 400: a header that may come once came again.
    #[error("header {0} must not be repeated")]
    Repeated(&'static str),
    /// 400: a header holds other bytes than visible ASCII and spaces.
    #[error("header {0} must be visible ascii")]
    NotAscii(&'static str),
    /// 400: Upgrade is missing or names something else.
    #[error("header upgrade must be websocket; a proxy in between may have removed it")]
    Upgrade,
    /// 400: Connection is missing or does not name Upgrade.
    #[error("header connection must contain upgrade; a proxy in between may have removed it")]
    Connection,
    /// 400: the key is not 16 bytes in base64.
    #[error("header sec-websocket-key must be 16 bytes in base64, 24 characters")]
    Key,
    /// 400: the version is no number.
    #[error("header sec-websocket-version must be a number from 0 to 255")]
    MalformedVersion,
    /// 426: another version than 13.
    #[error("header sec-websocket-version must be 13")]
    Version,
    /// 400: the request announces a body.
    #[error("a websocket handshake has no body: content-length must be 0 and transfer-encoding absent")]
    Body,
    /// 400: an offered subprotocol is not a token, or is offered twice.
    #[error("header sec-websocket-protocol must be a list of different tokens")]
    Subprotocol,
    /// 400: more subprotocols than anyone needs.
    #[error("header sec-websocket-protocol exceeds {MAX_SUBPROTOCOLS} subprotocols")]
    TooManySubprotocols,
}

impl Refusal {
    /// The status to answer with: 400, 405 or 426.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotWebSocket | Self::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The headers that the status asks for: `Allow` with 405; `Upgrade`, `Connection` and
    /// `Sec-WebSocket-Version` with 426.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            _ => {}
        }
        headers
    }
}
