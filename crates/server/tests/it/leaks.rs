//! However connections end, nothing of them stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use healthmate_protocol::ServerMessage;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::client::{Client, measurement};
use crate::operators::ask;
use crate::server::{StoreKind, TestServer};

/// How many connections the server holds, of all kinds together.
const PLACES: usize = 300;

/// How many of each quick kind come in turn.
const VISITS: usize = 300;

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Both sides say good-bye.
    Polite,
    /// The client's system resets it.
    Reset,
    /// Reset while much waits to be written to it.
    Stuffed,
    /// The client answers no ping.
    Silent,
    /// Cut when half of a frame has come.
    MidFrame,
    /// It never authenticates.
    Nobody,
    /// Its token is refused.
    Refused,
    /// Cut when half of the request's head has come.
    MidHandshake,
    /// The other half of the head never comes.
    StalledHandshake,
    /// The client breaks the protocol.
    Violation,
    /// An administrator closes it.
    Operator,
}

/// Those that the server has to wait for.
const SLOW: [End; 3] = [End::Silent, End::Nobody, End::StalledHandshake];

/// Those that end by themselves.
const QUICK: [End; 8] = [
    End::Polite,
    End::Reset,
    End::Stuffed,
    End::MidFrame,
    End::Refused,
    End::MidHandshake,
    End::Violation,
    End::Operator,
];

/// Connects, and ends as told. A quick one comes again and again.
async fn visit(server: Arc<TestServer>, end: End) {
    if let End::MidHandshake | End::StalledHandshake = end {
        let mut stream = TcpStream::connect(server.address()).await.expect("listening");
        stream.write_all(b"GET /ws/health HTTP/1.1\r\nHost: test\r\nUpgr").await.expect("written");
        if let End::StalledHandshake = end {
            stream.read_to_end(&mut Vec::new()).await.expect("closed");
        }
        return;
    }
    let mut client = Client::try_open(&server.url("/ws/combined"), &[]).await.expect("accepted");
    let ServerMessage::ConnectionEstablished(established) = client.next().await else {
        panic!("no greeting")
    };
    match end {
        End::Nobody => assert_eq!(client.close_code().await, 4501),
        End::Refused => {
            client.send(r#"{"type":"authenticate","token":"garbage"}"#).await;
            assert_eq!(client.close_code().await, 4500);
        }
        _ => {
            client.sign_in(&server.token("ana")).await;
            client.subscribe("health:ana", None).await;
            leave(&server, client, established.connection_id.as_str(), end).await;
        }
    }
}

/// Ends a connection that is signed in and subscribed.
async fn leave(server: &TestServer, mut client: Client, id: &str, end: End) {
    match end {
        End::Polite => {
            let frame = CloseFrame { code: 1000.into(), reason: Utf8Bytes::default() };
            client.socket.close(Some(frame)).await.expect("closed");
            assert_eq!(client.close_code().await, 1000);
        }
        End::Operator => {
            let path = format!("/ws/connection/{id}");
            assert_eq!(ask(server, Some("ada"), "DELETE", &path).await.0, 204);
            assert_eq!(client.close_code().await, 4504);
        }
        _ => abandon(client.socket.into_inner(), end).await,
    }
}

/// Ends a connection below the WebSocket.
async fn abandon(mut raw: TcpStream, end: End) {
    match end {
        End::Silent => {
            let mut received = Vec::new();
            raw.read_to_end(&mut received).await.expect("closed");
            assert!(received.windows(2).any(|pair| pair == 4002u16.to_be_bytes()), "{received:?}");
        }
        // The head of a masked frame of 100 bytes, and 5 of them.
        End::MidFrame => raw.write_all(b"\x81\xe4\0\0\0\0{\"typ").await.expect("written"),
        End::Violation => {
            raw.write_all(b"\x81\x02{}").await.expect("written");
            let mut received = Vec::new();
            while !received.windows(2).any(|pair| pair == 1002u16.to_be_bytes()) {
                assert!(raw.read_buf(&mut received).await.expect("open") > 0, "it was told why");
            }
        }
        End::Stuffed => {
            // It asks, and everybody who is subscribed hears of what it measured.
            let ask = b"\x81\x8f\0\0\0\0{\"type\":\"ping\"}".repeat(200);
            raw.write_all(&ask).await.expect("written");
            let update = format!(r#"{{"type":"health_update","data":{}}}"#, measurement(1));
            let head = [0x81, 0xfe, 0, update.len() as u8, 0, 0, 0, 0];
            raw.write_all(&[&head, update.as_bytes()].concat()).await.expect("written");
            raw.set_zero_linger().expect("an open socket");
        }
        _ => raw.set_zero_linger().expect("an open socket"),
    }
}

/// What the server holds, once it holds no connection any more.
pub(crate) async fn settled(server: &TestServer) -> Value {
    loop {
        // First: who has left this list is counted nowhere any more, nor is its user.
        let (_, page) = ask(server, Some("ada"), "GET", "/ws/connections").await;
        let (_, status) = ask(server, Some("ada"), "GET", "/ws/status").await;
        let left = ["connected", "authenticated", "error"].map(|state| &status["connections"][state]);
        // The one that asks is in its handshake for ever.
        let over = left == [&json!(0); 3] && status["connections"]["connecting"] == json!(1);
        if over && page["connections"] == json!([]) {
            return status;
        }
    }
}

/// The value of each metric without a label, and of each with one.
fn metrics(server: &TestServer) -> BTreeMap<String, String> {
    let text = server.app.metrics.encode();
    let pairs = text.lines().filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn start() -> Arc<TestServer> {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.max_connections = PLACES as u32;
        settings.limits.connections_per_user = PLACES as u32;
        settings.limits.connections_per_second = 100_000;
        settings.limits.authenticate_within_s = 5;
        settings.limits.handshake_timeout_s = 5;
        settings.limits.ping_after_s = 2;
        settings.limits.gone_after_s = 5;
        settings.sessions.resume_window_s = 1;
        settings.sessions.cleanup_interval_s = 1;
        settings.limits.presence_grace_s = 0;
        settings.sessions.resume_window_s = 2;
        settings.sessions.cleanup_interval_s = 1;
    });
    Arc::new(server.await)
}

#[tokio::test]
async fn nothing_stays_of_connections_of_any_kind() {
    let server = start().await;
    let slow = SLOW.into_iter().flat_map(|end| [end; 60]);
    let slow: Vec<_> = slow.map(|end| tokio::spawn(visit(Arc::clone(&server), end))).collect();
    let quick: Vec<_> = QUICK
        .into_iter()
        .map(|end| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                for _ in 0..VISITS {
                    visit(Arc::clone(&server), end).await;
                }
            })
        })
        .collect();
    for visit in join_all(quick.into_iter().chain(slow)).await {
        visit.expect("the visit went as it should");
    }
    let status = settled(&server).await;
    let found = (&status["users_online"], &status["subscriptions"], &status["queued_bytes"]);
    assert_eq!(found, (&json!(0), &json!({}), &json!(0)));
    let (_, presence) = ask(&server, Some("ana"), "GET", "/v1/patients/ana/presence").await;
    assert_eq!(presence["present"], json!([]));
    let metrics = metrics(&server);
    for gauge in ["subscriptions", "queued_bytes"] {
        assert_eq!(metrics[&format!("healthmate_{gauge}")], "0", "{gauge}");
    }
    let opened = (QUICK.len() - 1) * VISITS + 2 * 60;
    assert_eq!(metrics["healthmate_connections_opened_total"], opened.to_string());
    every_place_is_free(&server).await;
    Arc::into_inner(server).expect("nobody else holds it").stop().await;
}

/// As many connections as at the start, and not one more.
async fn every_place_is_free(server: &TestServer) {
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(Client::open(&server.url("/ws/health")).await);
    }
    let refused = Client::try_open(&server.url("/ws/health"), &[]).await.err().expect("full");
    assert!(refused.to_string().contains("503"), "{refused}");
}
