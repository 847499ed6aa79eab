//! Why a connection could not be made, or ended.

use std::io;
use std::time::Duration;

use healthmate_protocol::{CloseCode, ErrorCode};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};

/// Why a connection could not be made, or ended. No message holds a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there, or the network failed.
    #[error("cannot reach {url}: {problem}")]
    Unreachable { url: String, problem: String },
    /// The server's certificate is not to be trusted.
    #[error("{url} is not trusted: {problem}; SSL_CERT_FILE may name the certificate of its authority")]
    Untrusted { url: String, problem: String },
    /// The server answered the handshake with something else.
    #[error("{url} refused the connection with HTTP {status}")]
    Handshake { url: String, status: StatusCode },
    /// The address is none.
    #[error("not a WebSocket address: {url}: {problem}")]
    Address { url: String, problem: String },
    /// There is no token to sign in with.
    #[error("no token: {0:#}")]
    NoToken(anyhow::Error),
    /// The server refused the token.
    #[error("the server refused the sign-in: {} ({message})", code.as_str())]
    SignIn { code: ErrorCode, message: String, retry: bool },
    /// The token was good until now. The next connection gets another one, where there is one.
    #[error("the token has ended")]
    TokenEnded,
    /// The server closed the connection.
    #[error("the server closed the connection with {code}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed { code: u16, reason: String },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The server fell silent.
    #[error("nothing came from the server for {seconds} s")]
    Silent { seconds: u64 },
    /// The connection ended after the server had said when to come back.
    #[error("{error}")]
    Announced { after: Duration, error: Box<Self> },
    /// The server sent something that the protocol does not allow.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether connecting again can help.
    pub(crate) fn come_back(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken(_) | Self::Silent { .. } | Self::TokenEnded => true,
            Self::Handshake { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::SignIn { retry, .. } => *retry,
            Self::Closed { code, .. } => comes_back_after(*code),
            Self::Announced { error, .. } => error.come_back(),
            Self::Address { .. } | Self::Untrusted { .. } | Self::NoToken(_) | Self::Protocol(_) => false,
        }
    }

    /// Adds when to come back, where the server has said so.
    pub(crate) fn announced(self, after: Option<Duration>) -> Self {
        match after {
            Some(after) => Self::Announced { after, error: Box::new(self) },
            None => self,
        }
    }

    /// How long the server asked to wait before the next connection.
    pub(crate) fn come_back_after(&self) -> Option<Duration> {
        match self {
            Self::Announced { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// Reads the server's close frame; a connection that ends without one broke.
    pub(crate) fn closed(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(frame) => Self::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
            None => Self::Broken("it ended without a close".to_owned()),
        }
    }

    /// Why dialling `url` failed.
    pub(crate) fn dialling(url: &str, error: tungstenite::Error) -> Self {
        let url = url.to_owned();
        match error {
            tungstenite::Error::Http(response) => Self::Handshake { url, status: response.status() },
            tungstenite::Error::Url(problem) => Self::Address { url, problem: problem.to_string() },
            tungstenite::Error::HttpFormat(problem) => Self::Address { url, problem: problem.to_string() },
            tungstenite::Error::Tls(problem) => Self::Untrusted { url, problem: problem.to_string() },
            // What rustls refuses arrives as invalid data.
            tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Untrusted { url, problem: error.to_string() }
            }
            tungstenite::Error::Io(error) => Self::Unreachable { url, problem: error.to_string() },
            tungstenite::Error::Protocol(ProtocolError::HttparseError(_)) => {
                let problem =
                    "what answers there is no HTTP; wss:// is the address of a server with TLS".to_owned();
                Self::Address { url, problem }
            }
            other => Self::Unreachable { url, problem: other.to_string() },
        }
    }
}

/// What the registry says. Of a code that only a later protocol knows, its range tells.
fn comes_back_after(code: u16) -> bool {
    let known = CloseCode::ALL.iter().find(|known| known.as_u16() == code);
    known.map_or(!matches!(code, 4500..=4999), |known| known.come_back())
}

impl From<tungstenite::Error> for ClientError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Capacity(problem) => Self::Protocol(problem.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_close_codes_is_obeyed() {
        let come_back = |code| ClientError::Closed { code, reason: String::new() }.come_back();
        for code in CloseCode::ALL {
            assert_eq!(come_back(code.as_u16()), code.come_back(), "{code:?}");
        }
        assert!(come_back(1011) && come_back(4499), "an unknown code that says come back");
        assert!(!come_back(4500) && !come_back(4999), "an unknown code that says do not");
    }

    #[test]
    fn a_busy_server_is_asked_again_and_a_wrong_path_is_not() {
        let answered = |status| ClientError::Handshake { url: "ws://x".to_owned(), status };
        assert!(answered(StatusCode::SERVICE_UNAVAILABLE).come_back());
        assert!(answered(StatusCode::TOO_MANY_REQUESTS).come_back());
        assert!(!answered(StatusCode::NOT_FOUND).come_back());
        assert!(!answered(StatusCode::UNAUTHORIZED).come_back());
    }

    #[test]
    fn a_close_without_a_reason_reads_well() {
        let closed = ClientError::Closed { code: 4000, reason: String::new() };
        assert_eq!(closed.to_string(), "the server closed the connection with 4000");
        let closed = ClientError::Closed { code: 4000, reason: "server_restart".to_owned() };
        assert_eq!(closed.to_string(), "the server closed the connection with 4000: server_restart");
    }

    #[test]
    fn a_server_that_is_away_is_tried_again_and_one_that_is_not_trusted_is_not() {
        let dialled = |kind: io::ErrorKind| ClientError::dialling("wss://x", io::Error::from(kind).into());
        assert!(dialled(io::ErrorKind::ConnectionRefused).come_back());
        let untrusted = dialled(io::ErrorKind::InvalidData);
        assert!(!untrusted.come_back());
        assert!(untrusted.to_string().contains("SSL_CERT_FILE"), "{untrusted}");
    }
}
