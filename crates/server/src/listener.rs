//! Sockets in: accepting them, TLS, and HTTP until a request becomes a WebSocket.
//!
//! A socket's task has two lives. First it is whatever it takes to find out what the client wants, which is a lot and
//! is thrown away; then, if that is a WebSocket, it is a small thing that reads it. A request that asks for a
//! WebSocket and nothing else is answered here (`head.rs`); hyper answers all others, and refuses whom
//! `upgrade.rs` refuses.

mod head;
mod replayed;

use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use healthmate_protocol::{ErrorCode, SUBPROTOCOL};
use healthmate_session::Endpoint;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_util::either::Either;
use tower::ServiceExt;

pub(crate) use self::head::Head;
pub(crate) use self::replayed::Replayed;
use crate::connection::{Reader, Stream};
use crate::http::{ClientAddress, Problem};
use crate::shard::{NewSocket, Shard, ShardHandle};
use crate::telemetry::RefusalReason;
use crate::upgrade;

/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a request may take to be answered once the server stops.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// The room for a request's head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How much a socket may hold that is not on its way yet, in bytes. What a slow reader has not taken beyond that waits
/// in its outbox, where it is shared with others, and a reader that takes little by little is seen to be alive.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Lets each socket that `listener` accepts hold little of its own.
pub(crate) fn hold_little(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::warn!(%error, "slow readers will hold more memory of the system");
    }
}

/// What a shard needs to take sockets for all of them.
#[derive(Debug)]
pub(crate) struct Accepting {
    /// Where they come from; does not block.
    pub(crate) listener: std::net::TcpListener,
    /// All shards. The first is the one that accepts.
    pub(crate) shards: Vec<Arc<ShardHandle>>,
}

/// Accepts sockets and deals them to the shards in turn, until `shard`, the first of them, is told to stop.
pub(crate) async fn accept(shard: Rc<Shard>, accepting: Accepting) {
    let listener = match TcpListener::from_std(accepting.listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "no connection can be accepted"),
    };
    let stopped = shard.stop.cancelled();
    tokio::pin!(stopped);
    for turn in (0..accepting.shards.len()).cycle() {
        let (stream, peer) = tokio::select! {
            biased;
            () = stopped.as_mut() => return,
            accepted = accept_one(&listener) => accepted,
        };
        if turn == 0 {
            serve(&shard, stream, peer);
        } else if let Ok(stream) = stream.into_std() {
            // The other shard's reactor must know the socket, so this one forgets it.
            accepting.shards[turn].accept(NewSocket { stream, peer });
        }
    }
}

async fn accept_one(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The peer has gone again already.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a socket that another shard accepted.
pub(crate) fn take_over(shard: &Rc<Shard>, socket: NewSocket) {
    match TcpStream::from_std(socket.stream) {
        Ok(stream) => serve(shard, stream, socket.peer),
        Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
    }
}

/// Reads a WebSocket until it ends.
pub(crate) fn read(reader: Reader) {
    spawn_local(Serving::Open(reader));
}

/// Serves one socket: TLS where it is configured, then HTTP, then a WebSocket if a request asks for one.
fn serve(shard: &Rc<Shard>, stream: TcpStream, peer: SocketAddr) {
    spawn_local(Serving::Door(Box::pin(at_the_door(Rc::clone(shard), stream, peer))));
}

/// The task of a socket.
enum Serving {
    /// Until it is known what the client wants; all of it, if that is plain HTTP.
    Door(Pin<Box<dyn Future<Output = Option<Reader>>>>),
    /// A WebSocket.
    Open(Reader),
}

// With what tokio adds, a task of 128 bytes.
const _: () = assert!(size_of::<Serving>() <= 24, "an idle connection's task must stay small");

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Self::Open(reader) => return reader.poll_run(cx),
                Self::Door(door) => match ready!(door.as_mut().poll(cx)) {
                    Some(reader) => *self = Self::Open(reader),
                    None => return Poll::Ready(()),
                },
            }
        }
    }
}

async fn at_the_door(shard: Rc<Shard>, stream: TcpStream, peer: SocketAddr) -> Option<Reader> {
    // As many sockets again as there may be WebSockets: whoever only opens sockets does not use up the memory.
    let limit = shard.app().settings.limits.max_connections as usize;
    let Some(_serving) = shard.serving_http(limit) else {
        shard.app().metrics.connections_refused.of(RefusalReason::NodeFull).inc();
        tracing::debug!("too many sockets in their handshakes");
        return None;
    };
    let mut stream = match handshake(&shard, stream).await {
        Ok(stream) => stream,
        Err(error) => {
            shard.app().metrics.connections_refused.of(RefusalReason::Handshake).inc();
            tracing::debug!(%error, "a connection ended in its handshake");
            return None;
        }
    };
    let first = first_bytes(&shard, &mut stream).await?;
    // Whoever is refused here is refused by hyper's way once more, which has the words for it.
    if let Some(head) = Head::parse(&first)
        && let Ok((handshake, opening)) = upgrade::check(&shard, peer, head.endpoint, head.parts())
    {
        let answer = handshake.response_head(Some(SUBPROTOCOL));
        return Some(opening.open(&shard, stream, answer.into(), &head.rest));
    }
    Box::pin(serve_http(shard, Replayed { first, stream }, peer)).await;
    None
}

/// What the client says first; `None` if it says nothing in time, or the server stops.
async fn first_bytes(shard: &Shard, stream: &mut Stream) -> Option<Bytes> {
    let reading = tokio::time::timeout(shard.handshake_timeout(), head::first_bytes(shard, stream));
    let read = tokio::select! {
        biased;
        read = reading => read,
        () = shard.stop.cancelled() => return None,
    };
    match read {
        Ok(Ok(first)) => Some(first).filter(|first| !first.is_empty()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client left in its handshake");
            None
        }
        Err(_) => {
            tracing::debug!("no request came in time");
            None
        }
    }
}

async fn handshake(shard: &Shard, stream: TcpStream) -> std::io::Result<Stream> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = &shard.ground.tls else {
        return Ok(Either::Left(stream));
    };
    match tokio::time::timeout(shard.handshake_timeout(), Box::pin(acceptor.accept(stream))).await {
        Ok(accepted) => accepted.map(|stream| Either::Right(Box::new(stream))),
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

async fn serve_http(shard: Rc<Shard>, stream: Replayed, peer: SocketAddr) {
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
    mut request: http::Request<Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    if let Some(endpoint) = Endpoint::at_path(request.uri().path()) {
        return Ok(upgrade::answer(&shard, peer, endpoint, request));
    }
    let address = upgrade::client_address(shard.app(), peer, request.headers());
    request.extensions_mut().insert(ClientAddress(address));
    let answering = shard.ground.router.clone().oneshot(request.map(Body::new));
    let seconds = shard.app().settings.limits.request_timeout_s;
    let answered = tokio::time::timeout(Duration::from_secs(seconds.into()), answering).await;
    answered.unwrap_or_else(|_| {
        shard.app().metrics.errors.of(ErrorCode::RequestTimeout).inc();
        let detail = format!("the request was not there, and answered, within {seconds} s");
        Ok(Problem::new(ErrorCode::RequestTimeout, detail).into_response())
    })
}
