//! A WebSocket client on a bare socket that can break off at any point.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::frame;

/// The opcode of a close frame.
const CLOSE: u8 = 8;

/// The request for a WebSocket.
pub(crate) fn handshake(address: SocketAddr) -> String {
    format!(
        "GET /ws/combined HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// One connection, read frame by frame. It answers nothing by itself. Dropped, it is reset.
pub(crate) struct Visitor {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Visitor {
    /// Connects, and says nothing.
    pub(crate) async fn knock(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        // No port is left waiting.
        stream.set_zero_linger()?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Connects, and asks for a WebSocket.
    pub(crate) async fn enter(address: SocketAddr) -> anyhow::Result<Self> {
        let mut visitor = Self::knock(address).await?;
        visitor.write(handshake(address).as_bytes()).await?;
        let end = loop {
            if let Some(place) = visitor.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break place + 4;
            }
            ensure!(visitor.read().await?, "the server closed a connection in its handshake");
        };
        let answer = String::from_utf8_lossy(&visitor.received).into_owned();
        ensure!(answer.starts_with("HTTP/1.1 101"), "the server answered {answer}");
        visitor.received.drain(..end);
        Ok(visitor)
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await.context("cannot write")
    }

    /// Sends a message.
    pub(crate) async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let mut out = Vec::with_capacity(text.len() + 14);
        frame::push_text(text.as_bytes(), &mut out);
        self.write(&out).await
    }

    /// The next message of this type; others are passed over.
    ///
    /// # Errors
    /// If the server closes the connection first.
    pub(crate) async fn hear_of(&mut self, kind: &str) -> anyhow::Result<String> {
        let start = format!("{{\"type\":\"{kind}\"");
        loop {
            match self.frame().await? {
                Some((CLOSE, payload)) => {
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                    bail!("the server closed a connection that waited for {kind}: {reason}");
                }
                Some((_, payload)) if payload.starts_with(start.as_bytes()) => {
                    return Ok(String::from_utf8_lossy(&payload).into_owned());
                }
                Some(_) => {}
                None => bail!("the server ended a connection that waited for {kind}"),
            }
        }
    }

    /// The code of the server's close frame, after whatever else comes; `None` if it ends without one.
    pub(crate) async fn close_code(&mut self) -> anyhow::Result<Option<u16>> {
        while let Some((opcode, payload)) = self.frame().await? {
            if opcode == CLOSE {
                return Ok(payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
            }
        }
        Ok(None)
    }

    /// All that comes until the end.
    pub(crate) async fn rest(mut self) -> anyhow::Result<Vec<u8>> {
        while self.read().await? {}
        Ok(self.received)
    }

    /// Ends its own half of the connection.
    pub(crate) async fn leave(&mut self) -> anyhow::Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    async fn frame(&mut self) -> anyhow::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some(found) = frame::first(&self.received) {
                let (opcode, payload, length) = (found.opcode, found.payload.to_vec(), found.length);
                self.received.drain(..length);
                return Ok(Some((opcode, payload)));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// False at the end.
    async fn read(&mut self) -> anyhow::Result<bool> {
        Ok(self.stream.read_buf(&mut self.received).await.context("cannot read")? > 0)
    }
}

/// Sends an HTTP request on a connection of its own, and returns the status and the body.
pub(crate) async fn ask(
    address: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
) -> anyhow::Result<(u16, String)> {
    let mut visitor = Visitor::knock(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    visitor.write(request.as_bytes()).await?;
    let answer = String::from_utf8(visitor.rest().await?)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
