//! TLS: old versions, plain text, certificates that are not good, and files replaced while connections are open.

use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use healthmate_server::config::{ClientCertificates, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{exchange, start};
use crate::server::TestServer;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Pair {
    certificate: String,
    key: String,
}

/// One that signs itself, for the server.
fn own() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// An authority, and what it signs.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        Pair { certificate: signed.pem(), key: key.serialize_pem() }
    }
}

fn write(folder: &Path, pair: &Pair) {
    std::fs::write(folder.join("cert.pem"), &pair.certificate).expect("written");
    std::fs::write(folder.join("key.pem"), &pair.key).expect("written");
}

/// A server with this certificate; where an authority is given, devices must show theirs.
async fn serve(folder: &Path, pair: &Pair, authority: Option<&Authority>, least: TlsVersion) -> TestServer {
    write(folder, pair);
    start(|settings| {
        settings.server.tls_certificate = Some(folder.join("cert.pem"));
        settings.server.tls_key = Some(folder.join("key.pem"));
        settings.server.tls_min_version = least;
        if let Some(authority) = authority {
            std::fs::write(folder.join("ca.pem"), &authority.certificate).expect("written");
            settings.server.tls_client_ca = Some(folder.join("ca.pem"));
            settings.server.tls_client_certificates = ClientCertificates::Required;
        }
    })
    .await
}

fn connector(
    trusted: &Pair,
    shown: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).expect("a certificate");
    roots.add(root).expect("trusted");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain =
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// A TLS connection; in TLS 1.3 a server may refuse it later than this.
async fn shake(server: &TestServer, connector: &TlsConnector) -> Option<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address()).await.expect("listening");
    connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await.ok()
}

/// A WebSocket over it, with the greeting taken.
async fn open(server: &TestServer, connector: &TlsConnector) -> Option<Socket> {
    let stream = shake(server, connector).await?;
    let (mut socket, _) = tokio_tungstenite::client_async("wss://localhost/ws/health", stream).await.ok()?;
    socket.next().await?.ok()?;
    Some(socket)
}

async fn ask(socket: &mut Socket, text: &str) -> String {
    socket.send(Message::text(text)).await.expect("written");
    socket.next().await.expect("open").expect("a message").into_text().expect("text").to_string()
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

#[tokio::test]
async fn a_replaced_certificate_is_for_new_connections_and_a_broken_or_missing_one_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (own(), own());
    let server = serve(folder.path(), &old, None, TlsVersion::V1_2).await;
    let (trusts_old, trusts_new) = (connector(&old, None, BOTH), connector(&new, None, BOTH));
    let mut held = open(&server, &trusts_old).await.expect("the old certificate");
    assert!(open(&server, &trusts_new).await.is_none(), "it is not there yet");
    write(folder.path(), &new);
    server.refresh_certificate();
    assert!(open(&server, &trusts_new).await.is_some(), "new connections get it");
    assert!(open(&server, &trusts_old).await.is_none());
    assert!(ask(&mut held, r#"{"type":"ping"}"#).await.contains("pong"), "an open connection goes on");
    for broken in [("cert.pem", "nonsense"), ("key.pem", old.key.as_str())] {
        std::fs::write(folder.path().join(broken.0), broken.1).expect("written");
        server.refresh_certificate();
        server.refresh_certificate();
        assert!(open(&server, &trusts_new).await.is_some(), "{}: the one before it stays", broken.0);
    }
    std::fs::remove_file(folder.path().join("key.pem")).expect("removed");
    server.refresh_certificate();
    server.refresh_certificate();
    let metrics = server.app.metrics.encode();
    for line in ["{result=\"loaded\"} 1\n", "{result=\"failed\"} 3\n"] {
        assert!(metrics.contains(&format!("healthmate_certificate_reloads_total{line}")), "{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn old_versions_and_plain_text_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = own();
    let server = serve(folder.path(), &pair, None, TlsVersion::V1_2).await;
    // A hello of TLS 1.1: its version, 32 bytes of chance, no session, one cipher, no compression.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut stream = TcpStream::connect(server.address()).await.expect("listening");
    stream.write_all(&hello).await.expect("written");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // An alert, fatal: handshake_failure or protocol_version.
    assert!(matches!(answer[..], [0x15, 3, _, 0, 2, 2, 40 | 70]), "{answer:?}");
    let plain = exchange(&server, b"GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    let refused = "healthmate_connections_refused_total{reason=\"handshake\"} 2\n";
    // The server counts when it lets go of the socket, which the client may see before.
    while !server.app.metrics.encode().contains(refused) {
        tokio::task::yield_now().await;
    }
    assert!(open(&server, &connector(&pair, None, &[&TLS12])).await.is_some());
    server.stop().await;

    let strict = serve(folder.path(), &pair, None, TlsVersion::V1_3).await;
    assert!(open(&strict, &connector(&pair, None, &[&TLS12])).await.is_none());
    assert!(open(&strict, &connector(&pair, None, &[&TLS13])).await.is_some());
    let mut tls = shake(&strict, &connector(&pair, None, BOTH)).await.expect("a connection");
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    let _ = tls.read_to_string(&mut answer).await;
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
    strict.stop().await;
}

#[tokio::test]
async fn a_devices_token_is_good_only_with_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pair, authority) = (own(), Authority::new());
    let server = serve(folder.path(), &pair, Some(&authority), TlsVersion::V1_2).await;
    let watch = authority.sign("watch-ana", |_| {});
    let other = authority.sign("watch-ben", |_| {});
    for (user, shown, good) in [
        ("watch-ana", Some(&watch), true),
        ("watch-ana", Some(&other), false),
        ("watch-ana", None, false),
        ("nora", None, true),
        ("nora", Some(&watch), false),
    ] {
        let connector = connector(&pair, shown, BOTH);
        let mut socket = open(&server, &connector).await.expect("a websocket");
        let token = server.token(user);
        let answer = ask(&mut socket, &format!(r#"{{"type":"authenticate","token":"{token}"}}"#)).await;
        let expected = if good { "authentication_success" } else { "access_denied" };
        assert!(answer.contains(expected), "{user}: {answer}");
        let mut tls = shake(&server, &connector).await.expect("a connection");
        let request = format!(
            "GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        tls.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        let _ = tls.read_to_string(&mut answer).await;
        assert_eq!(super::status(&answer), if good { 200 } else { 403 }, "{user}: {answer}");
    }
    let expired = authority.sign("watch-ana", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let early = authority.sign("watch-ana", |params| params.not_before = rcgen::date_time_ymd(2100, 1, 1));
    let foreign = Authority::new().sign("watch-ana", |_| {});
    for (what, shown) in [("expired", expired), ("not yet valid", early), ("of another authority", foreign)] {
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let opened = open(&server, &connector(&pair, Some(&shown), versions)).await;
            assert!(opened.is_none(), "{what} was taken");
        }
    }
    let app = Arc::clone(&server.app);
    server.stop().await;
    let trail = app.store.audit_after(0, 1000).await.expect("read");
    let refused =
        |reason: &str| trail.iter().filter(|entry| entry.record.reason.as_deref() == Some(reason)).count();
    assert_eq!(refused("client_certificate"), 3, "on sockets");
    assert_eq!(refused("access_denied"), 3, "over HTTP");
}
