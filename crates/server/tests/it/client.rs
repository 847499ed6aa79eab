//! A WebSocket client that shares no code with the server's WebSocket.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use healthmate_protocol::client::SubscribeSince;
use healthmate_protocol::server::{MeasurementReceipt, SubscriptionSuccess};
use healthmate_protocol::{Envelope, ServerMessage};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) protocol: Option<String>,
}

/// What came from the server.
#[derive(Debug)]
pub(crate) enum Came {
    Message(Box<Envelope>),
    Closed(Option<CloseFrame>),
}

impl Client {
    /// Connects, and takes the greeting.
    pub(crate) async fn open(url: &str) -> Self {
        let mut client = Self::try_open(url, &[]).await.expect("the server accepts");
        assert!(matches!(client.next().await, ServerMessage::ConnectionEstablished(_)));
        client
    }

    /// Connects with extra headers.
    pub(crate) async fn try_open(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, Box<Error>> {
        let mut request = url.into_client_request().expect("a valid URL");
        for (name, value) in headers {
            request.headers_mut().insert(*name, http::HeaderValue::from_str(value).expect("a valid header"));
        }
        let address: SocketAddr =
            request.uri().authority().expect("a host").as_str().parse().expect("an address");
        let stream = TcpStream::connect(address).await.map_err(|error| Box::new(Error::Io(error)))?;
        let (socket, response) = client_async(request, stream).await.map_err(Box::new)?;
        let chosen = response.headers().get("sec-websocket-protocol");
        let protocol = chosen.map(|value| value.to_str().expect("text").to_owned());
        Ok(Self { socket, protocol })
    }

    pub(crate) async fn sign_in(&mut self, token: &str) {
        self.send(&format!(r#"{{"type":"authenticate","token":"{token}"}}"#)).await;
        let answer = self.next().await;
        assert!(matches!(answer, ServerMessage::AuthenticationSuccess(_)), "{answer:?}");
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the server reads");
    }

    /// The next message or close, without judging it.
    pub(crate) async fn come(&mut self) -> Came {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Came::Message(Box::new(Envelope::parse(&text).expect("a known message")));
                }
                Some(Ok(Message::Close(frame))) => return Came::Closed(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Came::Closed(None),
            }
        }
    }

    pub(crate) async fn envelope(&mut self) -> Envelope {
        match self.come().await {
            Came::Message(envelope) => *envelope,
            Came::Closed(frame) => panic!("closed: {frame:?}"),
        }
    }

    pub(crate) async fn next(&mut self) -> ServerMessage {
        self.envelope().await.message
    }

    /// The close code, after whatever else comes.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            if let Came::Closed(frame) = self.come().await {
                return frame.map_or(0, |frame| frame.code.into());
            }
        }
    }

    /// Subscribes and expects it to be granted.
    pub(crate) async fn subscribe(
        &mut self,
        topic: &str,
        since: Option<&SubscribeSince>,
    ) -> SubscriptionSuccess {
        let since = since.map_or(String::new(), |since| {
            format!(r#","since":{}"#, serde_json::to_string(since).expect("serializes"))
        });
        self.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"{since}}}"#)).await;
        match self.next().await {
            ServerMessage::SubscriptionSuccess(success) => success,
            other => panic!("not subscribed: {other:?}"),
        }
    }

    /// Sends heart rates, one for each value, and returns the receipts.
    pub(crate) async fn record(&mut self, values: impl IntoIterator<Item = u32>) -> Vec<MeasurementReceipt> {
        let batch: Vec<_> = values.into_iter().map(measurement).collect();
        self.send(&format!(r#"{{"type":"health_update","batch":[{}]}}"#, batch.join(","))).await;
        loop {
            match self.next().await {
                ServerMessage::Acknowledgment(acknowledgment) => return acknowledgment.results,
                // On a machine with much to do it may come first.
                ServerMessage::Heartbeat(_) => {}
                other => panic!("not acknowledged: {other:?}"),
            }
        }
    }

    /// The offsets of the next `count` events.
    pub(crate) async fn offsets(&mut self, count: usize) -> Vec<u64> {
        let mut offsets = Vec::new();
        while offsets.len() < count {
            let envelope = self.envelope().await;
            if let (Some(offset), ServerMessage::HealthUpdate(_)) = (envelope.offset, &envelope.message) {
                offsets.push(offset.0);
            }
        }
        offsets
    }
}

/// A heart rate of 60 to 159 per minute.
pub(crate) fn measurement(value: u32) -> String {
    let value = 60 + value % 100;
    format!(r#"{{"metric":"heart_rate","value":{value},"unit":"bpm","taken_at":"2026-01-01T00:00:00Z"}}"#)
}
