//! Behind TLS.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{StoreKind, TestServer};

#[tokio::test]
async fn the_same_session_runs_behind_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.server.tls_certificate = Some(certificate.clone());
        settings.server.tls_key = Some(key.clone());
    })
    .await;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate).expect("a certificate")).expect("trusted");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address()).await.expect("listening");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a TLS connection");
    let (mut socket, _) =
        tokio_tungstenite::client_async("wss://localhost/ws/health", tls).await.expect("a websocket");
    let mut next = async |send: Option<String>| {
        if let Some(text) = send {
            socket.send(Message::text(text)).await.expect("written");
        }
        socket.next().await.expect("open").expect("a message").into_text().expect("text").to_string()
    };
    assert!(next(None).await.contains("connection_established"));
    let authenticate = format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"));
    assert!(next(Some(authenticate)).await.contains("authentication_success"));
    // More than one TLS record holds, so that partial writes happen.
    let batch: Vec<_> = (0..500).map(crate::client::measurement).collect();
    let update = format!(r#"{{"type":"health_update","batch":[{}]}}"#, batch.join(","));
    assert!(next(Some(update)).await.contains("acknowledgment"));
    let page = next(Some(r#"{"type":"get_health_data","limit":500}"#.to_owned())).await;
    assert!(page.len() > 60_000 && page.contains("health_data_response"), "{} bytes", page.len());
    server.stop().await;
}
