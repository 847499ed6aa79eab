//! A WebSocket client that shares no code with the server's WebSocket, and one for HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use healthmate_protocol::{Envelope, ServerMessage};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use crate::process::Server;

pub(crate) struct Client(WebSocket<TcpStream>);

impl Client {
    pub(crate) fn connect(server: &Server, token: &str) -> Self {
        let stream = TcpStream::connect(&server.address).expect("listening");
        let url = format!("ws://{}/ws/combined", server.address);
        let (socket, _) = client(url.as_str(), stream).expect("a websocket");
        let mut client = Self(socket);
        client.send(&format!(r#"{{"type":"authenticate","token":"{token}"}}"#)).expect("sent");
        while !matches!(client.next().expect("open").message, ServerMessage::AuthenticationSuccess(_)) {}
        client
    }

    pub(crate) fn send(&mut self, text: &str) -> Result<(), Box<Error>> {
        self.0.send(Message::text(text)).map_err(Box::new)
    }

    pub(crate) fn next(&mut self) -> Result<Envelope, Box<Error>> {
        loop {
            if let Message::Text(text) = self.0.read()? {
                return Ok(Envelope::parse(&text).expect("a known message"));
            }
        }
    }
}

/// Asks over HTTP: the status and the JSON; `None` if the server died first.
pub(crate) fn ask(server: &str, method: &str, path: &str, token: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(server).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(answer.split_once("\r\n\r\n")?.1).unwrap_or_default()))
}
