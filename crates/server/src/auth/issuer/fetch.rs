//! One GET, for the keys of an issuer: no redirects, no proxies, no cookies, and no more of an answer than is allowed.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where keys are published.
pub(crate) struct Address {
    host: String,
    port: u16,
    authority: String,
    path: String,
    /// Absent for `http://`.
    tls: Option<Arc<ClientConfig>>,
}

/// Whether keys may be fetched from this address.
///
/// # Errors
/// With what is wrong, to be read after the name of the setting.
pub fn check_jwks_url(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

fn parse(url: &str) -> Result<(Uri, bool), String> {
    let wrong = || {
        "must be https://host/path, or http:// on a loopback address, without user and fragment".to_owned()
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if url.len() > 2048 || url.contains('#') || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_loopback = host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok((uri, true)),
        Some("http") if is_loopback => Ok((uri, false)),
        _ => Err(wrong()),
    }
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (uri, is_tls) = parse(url)?;
        let authority = uri.authority().ok_or("names no host")?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: path.to_owned(),
            tls: if is_tls { Some(tls()?) } else { None },
        })
    }
}

/// TLS that believes the certificates that this machine believes.
fn tls() -> Result<Arc<ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("needs the machine's root certificates, and there are none".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// What stands at the address, at most `max_bytes` of it.
pub(super) async fn fetch(address: &Address, max_bytes: usize) -> Result<Bytes, String> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
    match &address.tls {
        None => get(address, stream, max_bytes).await,
        Some(config) => {
            let name = ServerName::try_from(address.host.clone()).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
            get(address, stream.map_err(|error| format!("cannot connect by TLS: {error}"))?, max_bytes).await
        }
    }
}

async fn get(
    address: &Address,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    max_bytes: usize,
) -> Result<Bytes, String> {
    let failed = |error: hyper::Error| format!("the exchange failed: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = Request::get(&address.path)
        .header(HOST, &address.authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "healthmate")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        if head.status != StatusCode::OK {
            return Err(format!("the address answers {}", head.status.as_u16()));
        }
        let body = Limited::new(body, max_bytes).collect().await;
        Ok(body.map_err(|_| format!("the answer was cut, or is longer than {max_bytes} bytes"))?.to_bytes())
    };
    // The connection lives as long as its exchange: one that is given up leaves nothing behind.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(failed(error)),
        },
    }
}
