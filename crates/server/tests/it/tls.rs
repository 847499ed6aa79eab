//! Behind TLS.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use healthmate_server::config::Settings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::{StoreKind, TestServer};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A server with a certificate, and what it takes to trust it.
async fn start(adjust: impl FnOnce(&mut Settings)) -> (TestServer, TlsConnector) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.server.tls_certificate = Some(certificate.clone());
        settings.server.tls_key = Some(key.clone());
        adjust(settings);
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate).expect("a certificate")).expect("trusted");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, TlsConnector::from(Arc::new(config)))
}

async fn connect(server: &TestServer, connector: &TlsConnector) -> Result<Socket, Box<Error>> {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Soon full, for those who do not read.
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = socket.connect(server.address()).await.expect("listening");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = connector.connect(name, stream).await.expect("a TLS connection");
    let (mut socket, _) =
        tokio_tungstenite::client_async("wss://localhost/ws/health", tls).await.map_err(Box::new)?;
    assert!(next(&mut socket).await.contains("connection_established"));
    Ok(socket)
}

async fn send(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("written");
}

async fn next(socket: &mut Socket) -> String {
    socket.next().await.expect("open").expect("a message").into_text().expect("text").to_string()
}

#[tokio::test]
async fn the_same_session_runs_behind_tls() {
    let (server, connector) = start(|_| {}).await;
    let mut socket = connect(&server, &connector).await.expect("a websocket");
    send(&mut socket, &format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
    assert!(next(&mut socket).await.contains("authentication_success"));
    // More than one TLS record holds, so that partial writes happen.
    let batch: Vec<_> = (0..500).map(crate::client::measurement).collect();
    send(&mut socket, &format!(r#"{{"type":"health_update","batch":[{}]}}"#, batch.join(","))).await;
    assert!(next(&mut socket).await.contains("acknowledgment"));
    send(&mut socket, r#"{"type":"get_health_data","limit":500}"#).await;
    let page = next(&mut socket).await;
    assert!(page.len() > 60_000 && page.contains("health_data_response"), "{} bytes", page.len());
    server.stop().await;
}

/// Readers that do not read, with more to write than the socket holds, and then go: nothing of them stays.
#[tokio::test]
async fn readers_that_stall_and_leave_give_their_places_back() {
    let places = 4;
    let (server, connector) = start(|settings| {
        settings.limits.max_connections = places + 1;
        // However slow the machine is: nobody signs in here.
        settings.limits.authenticate_within_s = 300;
        settings.server.shards = 1;
    })
    .await;
    let ping = format!(r#"{{"type":"ping","correlation_id":"{}"}}"#, "x".repeat(128));
    let mut paced = connect(&server, &connector).await.expect("a place");
    for _ in 0..2 {
        let mut stalled = Vec::new();
        for _ in 0..places {
            let mut socket = connect(&server, &connector).await.expect("a place");
            // Little by little, past what the sockets hold, so that answers end up in what TLS keeps: whoever is
            // answered on the same shard knows that the burst before was dealt with.
            for _ in 0..80 {
                for _ in 0..50 {
                    socket.feed(Message::text(&ping)).await.expect("room");
                }
                socket.flush().await.expect("the server reads on");
                send(&mut paced, r#"{"type":"ping"}"#).await;
                next(&mut paced).await;
            }
            stalled.push(socket);
        }
        drop(stalled);
        // The server hears of it in its own time: ask until there is room for all again.
        let mut back = Vec::new();
        while back.len() < places as usize {
            back.extend(connect(&server, &connector).await.ok());
        }
    }
    server.stop().await;
}
