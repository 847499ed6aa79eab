//! A server of a few lines that does what a test tells it, over a real socket.

use futures_util::{SinkExt, StreamExt};
use healthmate_protocol::client::Authenticate;
use healthmate_protocol::server::{
    Acknowledgment, AuthenticationSuccess, ConnectionEstablished, Error, HealthDataResponse,
    MeasurementReceipt, RecordedMeasurement,
};
use healthmate_protocol::{
    ClientMessage, Command, Envelope, ErrorCode, MeasurementInput, Offset, SUBPROTOCOL, ServerMessage,
    Timestamp,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// The epoch that the peer speaks of.
pub(crate) const EPOCH: &str = "epoch-1";

/// Listens for the client under test.
pub(crate) struct ScriptedPeer {
    listener: TcpListener,
}

/// One connection of the client under test.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
}

/// When the peer's messages say they were written.
pub(crate) fn noon() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().expect("valid")
}

impl ScriptedPeer {
    pub(crate) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    /// The address to give to the client.
    pub(crate) fn server(&self) -> String {
        format!("ws://{}", self.listener.local_addr().expect("bound"))
    }

    /// Takes the next connection and greets it.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        let speak_it = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, speak_it).await.expect("a handshake");
        let mut peer = Peer { socket };
        peer.say(ServerMessage::ConnectionEstablished(ConnectionEstablished {
            connection_id: "0190-1".parse().expect("valid"),
            protocol: SUBPROTOCOL.to_owned(),
            heartbeat_interval_s: 30,
            authenticate_within_s: 10,
            max_message_bytes: 1024,
        }))
        .await;
        peer
    }

    /// Takes the next connection, greets it and accepts its token in a new session.
    pub(crate) async fn accept_signed_in(&self) -> (Peer, Authenticate) {
        self.accept_in("0190-2", None).await
    }

    /// Takes the next connection, greets it and accepts its token in the session called `session_id`, saying of it
    /// what `resumed` says. Returns how the client signed in.
    pub(crate) async fn accept_in(&self, session_id: &str, resumed: Option<bool>) -> (Peer, Authenticate) {
        let mut peer = self.accept().await;
        let Some(ClientMessage { command: Command::Authenticate(sign_in), .. }) = peer.hear().await else {
            panic!("the client must sign in first");
        };
        peer.say(ServerMessage::AuthenticationSuccess(AuthenticationSuccess {
            user_id: "device-1".parse().expect("valid"),
            role: "device".to_owned(),
            patient: Some("patient-1".parse().expect("valid")),
            session_id: session_id.parse().expect("valid"),
            resumed,
            epoch: EPOCH.parse().expect("valid"),
            expires_at: noon().plus_millis(3_600_000),
        }))
        .await;
        (peer, sign_in)
    }
}

impl Peer {
    /// The client's next message; `None` if it closed.
    pub(crate) async fn hear(&mut self) -> Option<ClientMessage> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(ClientMessage::parse(&text).expect("valid")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Hears until the client closes, and returns the code it closes with; `None` if it goes without a word.
    pub(crate) async fn hear_close(&mut self) -> Option<u16> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => return Some(frame?.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Hears the client's next batch of measurements, and the message it came in.
    pub(crate) async fn hear_batch(&mut self) -> (ClientMessage, Vec<MeasurementInput>) {
        let message = self.hear().await.expect("a message");
        let Command::HealthUpdate(update) = &message.command else { panic!("not {message:?}") };
        let batch = update.batch.clone().expect("a batch");
        (message, batch)
    }

    pub(crate) async fn send(&mut self, envelope: &Envelope) {
        self.socket.send(Message::text(envelope.to_text())).await.expect("the client listens");
    }

    /// Says something that answers no request.
    pub(crate) async fn say(&mut self, message: ServerMessage) {
        self.send(&Envelope::new(noon(), message)).await;
    }

    /// Answers `request`.
    pub(crate) async fn answer(&mut self, request: &ClientMessage, message: ServerMessage) {
        let correlation_id = request.correlation_id.clone();
        self.send(&Envelope { correlation_id, ..Envelope::new(noon(), message) }).await;
    }

    /// Hears `get_health_data` and answers with `newest`.
    pub(crate) async fn answer_history(&mut self, newest: Option<RecordedMeasurement>) {
        let request = self.hear().await.expect("a message");
        assert!(matches!(request.command, Command::GetHealthData(_)), "{request:?}");
        let response = HealthDataResponse {
            patient: "patient-1".parse().expect("valid"),
            measurements: newest.into_iter().collect(),
            next_cursor: None,
        };
        self.answer(&request, ServerMessage::HealthDataResponse(response)).await;
    }

    /// Acknowledges a batch, from `first` on.
    pub(crate) async fn acknowledge(
        &mut self,
        request: &ClientMessage,
        batch: &[MeasurementInput],
        first: u64,
    ) {
        let results = batch
            .iter()
            .zip(first..)
            .map(|(input, offset)| MeasurementReceipt {
                offset: Offset(offset),
                client_id: input.client_id.clone(),
                duplicate: false,
                flags: Vec::new(),
            })
            .collect();
        let patient = "patient-1".parse().expect("valid");
        self.answer(request, ServerMessage::Acknowledgment(Acknowledgment { patient, results })).await;
    }

    /// Refuses `request`.
    pub(crate) async fn refuse(&mut self, request: &ClientMessage, code: ErrorCode, field: Option<&str>) {
        let error =
            Error { code, message: "no".to_owned(), field: field.map(str::to_owned), retry: code.retry() };
        self.answer(request, ServerMessage::Error(error)).await;
    }

    /// Closes with `code`.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "because".into() };
        self.socket.close(Some(frame)).await.expect("the client listens");
        // Until the client has answered, so that the frame is not overtaken by a reset.
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}
