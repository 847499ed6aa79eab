//! Posts what is exported.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// How long one request may take, the connection included.
const WITHIN: Duration = Duration::from_secs(3);

/// How much of an answer is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Where a URL names no port.
const HTTP_PORT: u16 = 80;

/// An HTTP client for plain `http://`, used by the one thread that exports: it has a runtime of its own, since that
/// thread has none.
#[derive(Debug)]
pub(super) struct Post {
    runtime: Runtime,
    /// The last request failed, and that was logged.
    failing: AtomicBool,
}

impl Post {
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, failing: AtomicBool::new(false) })
    }

    /// Logs that the collector cannot be reached, or can again: once, not for each batch.
    fn note(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let error = match outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let failed = self.failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed => tracing::warn!(error, "telemetry cannot be exported"),
            None if failed => tracing::info!("telemetry is exported again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.block_on(async {
            match tokio::time::timeout(WITHIN, post(request)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs()).into()),
            }
        });
        self.note(&sent);
        sent
    }
}

async fn post(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let authority = request.uri().authority().ok_or("the endpoint names no host")?.clone();
    let port = authority.port_u16().unwrap_or(HTTP_PORT);
    let stream = TcpStream::connect((authority.host().trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // To a server, the target is the path; the host is a header.
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = request.uri().path().parse()?;
    // It ends with the exchange, or tells it why it failed.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
