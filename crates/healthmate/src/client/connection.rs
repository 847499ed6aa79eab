//! One signed-in connection.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use healthmate_protocol::client::Authenticate;
use healthmate_protocol::server::{
    AuthenticationFailed, AuthenticationSuccess, ConnectionEstablished, Reconnect,
};
use healthmate_protocol::{
    ClientMessage, CloseCode, Command, Envelope, ErrorCode, Offset, SUBPROTOCOL, ServerMessage, SessionId,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, IntoClientRequest};
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::error::ClientError;
use super::token::Token;

/// The last event that a client has, by topic.
pub(crate) type Offsets = BTreeMap<String, Offset>;

/// How long dialling, and then signing in, may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long saying good-bye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// How many heartbeats may fail to come before the server counts as gone.
const MISSED_HEARTBEATS: u32 = 2;

/// Where to connect.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: String,
}

impl Target {
    /// The endpoint `path` of `server`, a WebSocket or HTTP address such as `ws://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If the address is none, has no host, or is neither `ws`, `wss`, `http` nor `https`.
    pub(crate) fn new(server: &str, path: &str) -> Result<Self, ClientError> {
        let refuse =
            |problem: &str| ClientError::Address { url: super::shown(server), problem: problem.to_owned() };
        let (scheme, rest) =
            server.split_once("://").ok_or_else(|| refuse("write it like ws://127.0.0.1:8080"))?;
        let scheme = match scheme {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(refuse("it must begin with ws:// or wss://")),
        };
        let url = format!("{scheme}://{}{path}", rest.trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| refuse("it is no address"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(refuse("it names no host"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("it must name a host, and no user"));
        }
        Ok(Self { url })
    }
}

/// A message of the server, with the text it came in.
#[derive(Debug)]
pub(crate) struct Received {
    /// What it says.
    pub(crate) envelope: Envelope,
    /// The JSON as it came.
    pub(crate) text: Utf8Bytes,
}

/// A connection on which the server accepted the token.
pub(crate) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the server said first.
    pub(crate) established: ConnectionEstablished,
    /// What outlives this connection if it is lost.
    pub(crate) session_id: SessionId,
    /// Whether this is the session that was asked for, and the server answers for each of its topics by itself.
    pub(crate) resumed: bool,
    /// How long the server asked to wait before the next connection.
    come_back_after: Option<Duration>,
}

impl Connection {
    /// Connects and signs in, within 10 s each, back to `session` if there is one.
    ///
    /// # Errors
    /// If nobody answers, the answer is no WebSocket, or the token is refused.
    pub(crate) async fn open(
        target: &Target,
        token: &Token,
        session: Option<(&SessionId, &Offsets)>,
    ) -> Result<Self, ClientError> {
        let late = || ClientError::Unreachable {
            url: target.url.clone(),
            problem: format!("no answer within {} s", SETUP_TIMEOUT.as_secs()),
        };
        // Boxed: the handshake's future is large and lives shortly.
        let mut socket = timeout(SETUP_TIMEOUT, Box::pin(dial(target))).await.map_err(|_| late())??;
        let mut authenticate = Authenticate::new(token.reveal());
        if let Some((session_id, offsets)) = session {
            authenticate.session_id = Some(session_id.clone());
            authenticate.offsets = offsets.clone();
        }
        let signing_in = timeout(SETUP_TIMEOUT, sign_in(&mut socket, authenticate));
        let (established, success) = signing_in.await.map_err(|_| late())??;
        let (session_id, resumed) = (success.session_id, success.resumed == Some(true));
        Ok(Self { socket, established, session_id, resumed, come_back_after: None })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// If the connection broke.
    pub(crate) async fn send(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let sent = self.socket.send(Message::text(message.to_text())).await;
        sent.map_err(|error| ClientError::from(error).announced(self.come_back_after))
    }

    /// The next message. Cancelling it loses nothing.
    ///
    /// # Errors
    /// If the connection or the token ended, the connection broke, the server said nothing for two heartbeats, or
    /// what it said is no message.
    pub(crate) async fn next(&mut self) -> Result<Received, ClientError> {
        let interval = Duration::from_secs(self.established.heartbeat_interval_s.max(1).into());
        let patience = interval * MISSED_HEARTBEATS + Duration::from_secs(5);
        let received = timeout(patience, receive(&mut self.socket))
            .await
            .unwrap_or(Err(ClientError::Silent { seconds: patience.as_secs() }))
            .map_err(|error| error.announced(self.come_back_after))?;
        match received.envelope.message {
            ServerMessage::Reconnect(ref asked) => {
                self.come_back_after = Some(wait(asked));
                Ok(received)
            }
            ServerMessage::AuthenticationFailed(refusal) if refusal.code == ErrorCode::TokenExpired => {
                Err(ClientError::TokenEnded)
            }
            ServerMessage::AuthenticationFailed(refusal) => Err(refused(refusal)),
            _ => Ok(received),
        }
    }

    /// Says good-bye and waits for the answer, at most half a second.
    pub(crate) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal.as_u16().into(), reason: Utf8Bytes::default() };
        let goodbye = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                // A socket that is dropped with something unread in it is reset, and that can overtake the frame.
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // The server may be gone already, and then there is nobody to tell.
        let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
    }
}

async fn dial(target: &Target) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, ClientError> {
    let fail = |error| ClientError::dialling(&target.url, error);
    let uri: Uri = target.url.parse().map_err(|error: <Uri as std::str::FromStr>::Err| fail(error.into()))?;
    let request =
        ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL).into_client_request().map_err(fail)?;
    // The messages are small: a large buffer for each of the demo's devices would be wasted.
    let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
    let (socket, _) = connect_async_with_config(request, Some(config), true).await.map_err(fail)?;
    Ok(socket)
}

async fn sign_in(
    socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
    authenticate: Authenticate,
) -> Result<(ConnectionEstablished, AuthenticationSuccess), ClientError> {
    let message = ClientMessage { correlation_id: None, command: Command::Authenticate(authenticate) };
    socket.send(Message::text(message.to_text())).await?;
    let (mut established, mut come_back_after) = (None, None);
    loop {
        let received = receive(socket).await.map_err(|error| error.announced(come_back_after))?;
        match received.envelope.message {
            ServerMessage::ConnectionEstablished(hello) => established = Some(hello),
            ServerMessage::Reconnect(asked) => come_back_after = Some(wait(&asked)),
            ServerMessage::AuthenticationSuccess(success) => {
                let missing =
                    || ClientError::Protocol("connection_established did not come first".to_owned());
                return Ok((established.ok_or_else(missing)?, success));
            }
            ServerMessage::AuthenticationFailed(refusal) => return Err(refused(refusal)),
            ServerMessage::Error(error) => {
                let (code, message, retry) = (error.code, error.message, error.retry);
                return Err(ClientError::SignIn { code, message, retry });
            }
            _ => {}
        }
    }
}

fn wait(asked: &Reconnect) -> Duration {
    Duration::from_millis(asked.after_ms.into())
}

fn refused(refusal: AuthenticationFailed) -> ClientError {
    ClientError::SignIn { code: refusal.code, message: refusal.message, retry: refusal.retry }
}

async fn receive(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<Received, ClientError> {
    loop {
        let message = socket.next().await.unwrap_or(Ok(Message::Close(None)))?;
        match message {
            Message::Text(text) => {
                if let Some(envelope) = read(&text)? {
                    return Ok(Received { envelope, text });
                }
            }
            Message::Binary(_) => return Err(ClientError::Protocol("a binary message".to_owned())),
            Message::Close(frame) => return Err(ClientError::closed(frame)),
            // Pings are answered by the socket itself while it is read.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Reads a message; `None` for one of a type that only a later protocol knows.
fn read(text: &str) -> Result<Option<Envelope>, ClientError> {
    #[derive(serde::Deserialize)]
    struct Head {
        r#type: String,
    }
    match (Envelope::parse(text), serde_json::from_str::<Head>(text)) {
        (Ok(envelope), _) => Ok(Some(envelope)),
        (Err(_), Ok(head)) if !ServerMessage::NAMES.contains(&head.r#type.as_str()) => Ok(None),
        // The parser's words may repeat a value, so they are left out.
        (Err(_), Ok(head)) => Err(ClientError::Protocol(format!("a {} that cannot be read", head.r#type))),
        (Err(_), Err(_)) => Err(ClientError::Protocol("a text that is no JSON message".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_in_the_spellings_people_use() {
        let url = |server| Target::new(server, "/ws/health").map(|target| target.url);
        assert_eq!(url("ws://127.0.0.1:8080").expect("valid"), "ws://127.0.0.1:8080/ws/health");
        assert_eq!(url("http://localhost:8080/").expect("valid"), "ws://localhost:8080/ws/health");
        assert_eq!(url("https://mate.example").expect("valid"), "wss://mate.example/ws/health");
        for wrong in ["127.0.0.1:8080", "ftp://x", "ws://", "ws://a b"] {
            let refused = url(wrong).expect_err("no address");
            assert!(!refused.come_back(), "{wrong}");
        }
    }

    #[test]
    fn messages_of_a_later_protocol_are_passed_over_and_broken_ones_are_not() {
        let later = r#"{"type":"mood_update","timestamp":"2026-11-23T07:00:00Z","data":{}}"#;
        assert!(read(later).expect("tolerated").is_none());
        let broken = r#"{"type":"pong"}"#;
        assert!(matches!(read(broken), Err(ClientError::Protocol(_))));
        assert!(matches!(read("nonsense"), Err(ClientError::Protocol(_))));
    }
}
