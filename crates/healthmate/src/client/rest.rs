//! The REST side of a server, for questions that need no socket.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::token::Token;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Why there is no answer. No message holds a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestError {
    /// The address is none.
    #[error("not an address of a server: {url}: {problem}")]
    Address { url: String, problem: &'static str },
    /// Nobody answers there.
    #[error("cannot reach {url}: {problem}")]
    Unreachable { url: String, problem: String },
    /// The server refuses.
    #[error("the server refuses: {code} ({detail})")]
    Refused { code: String, detail: String },
    /// What answers is no HealthMate server.
    #[error("{url} answered with HTTP {status}, and not as HealthMate does")]
    Foreign { url: String, status: u16 },
}

/// How a server says no.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

/// A server, by its address.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    url: String,
    host: String,
    port: u16,
    /// Host and port as the address gives them.
    authority: String,
    secure: bool,
}

impl Rest {
    /// The server at `url`, a WebSocket or HTTP address such as `ws://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If it is neither `ws`, `wss`, `http` nor `https`, or names no host.
    pub(crate) fn new(url: &str) -> Result<Self, RestError> {
        let refuse = |problem| RestError::Address { url: super::shown(url), problem };
        let uri: Uri = url.parse().map_err(|_| refuse("write it like http://127.0.0.1:8080"))?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(refuse("it must begin with ws://, wss://, http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(refuse("it must name a host, and no user"));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self { url: url.to_owned(), host, port, authority: authority.to_string(), secure })
    }

    /// The address as it was given.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path` in the name of the token's user.
    ///
    /// # Errors
    /// If the server cannot be reached within 10 s, refuses, or does not answer with such a `T`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, token: &Token) -> Result<T, RestError> {
        let late = |_| self.unreachable(format!("no answer within {} s", WITHIN.as_secs()));
        // Boxed: it is large and lives shortly.
        let (status, body) = timeout(WITHIN, Box::pin(self.fetch(path, token))).await.map_err(late)??;
        if status == 200
            && let Ok(answer) = serde_json::from_slice(&body)
        {
            return Ok(answer);
        }
        Err(match serde_json::from_slice(&body) {
            Ok(Problem { code, detail }) => RestError::Refused { code, detail },
            Err(_) => RestError::Foreign { url: self.url.clone(), status },
        })
    }

    async fn fetch(&self, path: &str, token: &Token) -> Result<(u16, Bytes), RestError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        let request = Request::get(path)
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", token.reveal()))
            .body(Empty::<Bytes>::new())
            .map_err(|_| self.unreachable("the token, or the address, cannot be sent"))?;
        let response = if self.secure {
            let name = ServerName::try_from(self.host.clone()).map_err(|error| self.unreachable(error))?;
            let stream = connector(self)?.connect(name, stream).await;
            self.exchange(stream.map_err(|error| self.unreachable(error))?, request).await?
        } else {
            self.exchange(stream, request).await?
        };
        let status = response.status().as_u16();
        Ok((status, response.into_body()))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Bytes>, RestError> {
        let failed = |error: hyper::Error| self.unreachable(error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Dropping the sender ends the connection.
        let answered = async move {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
        };
        // What went wrong with the connection, the answer tells.
        let (answered, _) = tokio::join!(answered, connection);
        answered.map_err(failed)
    }

    fn unreachable(&self, problem: impl Display) -> RestError {
        RestError::Unreachable { url: self.url.clone(), problem: problem.to_string() }
    }
}

/// Trusts whom the system trusts.
fn connector(rest: &Rest) -> Result<TlsConnector, RestError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| rest.unreachable(error))?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_taken_as_clients_write_them() {
        for (url, host, port, secure) in [
            ("ws://127.0.0.1:8080", "127.0.0.1", 8080, false),
            ("http://server", "server", 80, false),
            ("wss://health.example/", "health.example", 443, true),
            ("https://[::1]:8443", "::1", 8443, true),
        ] {
            let rest = Rest::new(url).expect("valid");
            assert_eq!((rest.host.as_str(), rest.port, rest.secure), (host, port, secure), "{url}");
        }
        for wrong in ["127.0.0.1:8080", "ftp://server", "http://", "http://user@server", "no address"] {
            assert!(matches!(Rest::new(wrong), Err(RestError::Address { .. })), "{wrong}");
        }
    }

    /// Answers one request with `answer`, and returns what was asked.
    async fn asked(answer: &str) -> (Result<Value, RestError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let rest = Rest::new(&format!("ws://{}", listener.local_addr().expect("bound"))).expect("valid");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.expect("read");
            stream.write_all(answer.as_bytes()).await.expect("written");
            String::from_utf8_lossy(&head[..count]).into_owned()
        };
        let token = Token::new("a.b.c");
        tokio::join!(rest.get("/ws/status", &token), serve)
    }

    #[tokio::test]
    async fn an_answer_a_refusal_and_something_else_are_told_apart() {
        let (answer, request) =
            asked("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}").await;
        assert_eq!(answer.expect("answered")["status"], "ok");
        assert!(request.starts_with("GET /ws/status HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer a.b.c\r\n"), "{request}");
        let problem = r#"{"code":"token_expired","detail":"Get a fresh token."}"#;
        let refusal = format!(
            "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{problem}\r\n0\r\n\r\n",
            problem.len()
        );
        let (refused, _) = asked(&refusal).await;
        let said = refused.expect_err("refused").to_string();
        assert_eq!(said, "the server refuses: token_expired (Get a fresh token.)");
        let (foreign, _) = asked("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        assert!(matches!(foreign, Err(RestError::Foreign { status: 200, .. })));
        let (broken, _) = asked("").await;
        assert!(matches!(broken, Err(RestError::Unreachable { .. })));
    }
}
