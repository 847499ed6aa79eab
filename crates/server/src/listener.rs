//! Sockets in: accepting them, TLS, and HTTP until a request becomes a WebSocket.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use healthmate_protocol::ErrorCode;
use healthmate_session::Endpoint;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;
use tower::ServiceExt;

use crate::connection::Stream;
use crate::http::Problem;
use crate::shard::{NewSocket, Shard, ShardHandle};
use crate::telemetry::RefusalReason;
use crate::upgrade;

/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a request may take to be answered once the server stops.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// The room for a request's head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Accepts sockets and deals them to the shards in turn, until it is dropped.
pub(crate) async fn accept(listener: TcpListener, shards: Vec<Arc<ShardHandle>>) {
    let mut turns = shards.iter().cycle();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A shard's reactor must know the socket, so this one forgets it.
                if let (Ok(stream), Some(shard)) = (stream.into_std(), turns.next()) {
                    shard.accept(NewSocket { stream, peer });
                }
            }
            // The peer has gone again already.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one socket: TLS where it is configured, then HTTP, then a WebSocket if a request asks for one.
pub(crate) async fn serve_socket(shard: Rc<Shard>, socket: NewSocket) {
    let peer = socket.peer;
    // As many sockets again as there may be WebSockets: whoever only opens sockets does not use up the memory.
    let limit = shard.app().settings.limits.max_connections as usize;
    let Some(_serving) = shard.serving_http(limit) else {
        shard.app().metrics.connections_refused.of(RefusalReason::NodeFull).inc();
        return tracing::debug!("too many sockets in their handshakes");
    };
    match handshake(&shard, socket).await {
        Ok(stream) => serve_http(Rc::clone(&shard), stream, peer).await,
        Err(error) => {
            shard.app().metrics.connections_refused.of(RefusalReason::Handshake).inc();
            tracing::debug!(%error, "a connection ended in its handshake");
        }
    }
}

async fn handshake(shard: &Shard, socket: NewSocket) -> std::io::Result<Stream> {
    let stream = TcpStream::from_std(socket.stream)?;
    stream.set_nodelay(true)?;
    let Some(acceptor) = &shard.ground.tls else {
        return Ok(Either::Left(stream));
    };
    match tokio::time::timeout(shard.handshake_timeout(), acceptor.accept(stream)).await {
        Ok(accepted) => accepted.map(|stream| Either::Right(Box::new(stream))),
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

async fn serve_http(shard: Rc<Shard>, stream: Stream, peer: SocketAddr) {
    let service = {
        let shard = Rc::clone(&shard);
        service_fn(move |request| answer(Rc::clone(&shard), peer, request))
    };
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shard.handshake_timeout())
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(http);
    let result = tokio::select! {
        result = http.as_mut() => result,
        () = shard.stop.cancelled() => {
            http.as_mut().graceful_shutdown();
            // A request that is answered now is; one that has not even arrived is not waited for.
            match tokio::time::timeout(STOP_WAIT, http).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

async fn answer(
    shard: Rc<Shard>,
    peer: SocketAddr,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    if let Some(endpoint) = Endpoint::at_path(request.uri().path()) {
        return Ok(upgrade::answer(&shard, peer, endpoint, request));
    }
    let answering = shard.ground.router.clone().oneshot(request.map(Body::new));
    let seconds = shard.app().settings.limits.request_timeout_s;
    let answered = tokio::time::timeout(Duration::from_secs(seconds.into()), answering).await;
    answered.unwrap_or_else(|_| {
        shard.app().metrics.errors.of(ErrorCode::RequestTimeout).inc();
        let detail = format!("the request was not there, and answered, within {seconds} s");
        Ok(Problem::new(ErrorCode::RequestTimeout, detail).into_response())
    })
}
