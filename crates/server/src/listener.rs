//! Sockets in: accepting them, TLS, and HTTP until a request becomes a WebSocket.
//!
//! A socket's task has two lives. First it is whatever it takes to find out what the client wants, which is a lot and
//! is thrown away; then, if that is a WebSocket, it is a small thing that reads it. A request that asks for a
//! WebSocket and nothing else is answered here (`head.rs`); hyper answers all others, and refuses whom
//! `upgrade.rs` refuses.

mod framing;
mod head;
mod refused;
mod replayed;
mod visit;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use healthmate_protocol::SUBPROTOCOL;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_util::either::Either;

use self::framing::{Framing, HeadLimits};
pub(crate) use self::head::{Head, read_anything};
pub(crate) use self::replayed::Replayed;
pub(crate) use self::visit::Visit;
use crate::connection::{Reader, Stream, shown};
use crate::shard::{NewSocket, Shard, ShardHandle};
use crate::telemetry::{RefusalReason, RequestRefusal};
use crate::upgrade;

/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a request may take to be answered once the server stops.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// The room for the head of a request that is answered without hyper, in bytes: the setting's least.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// How much a socket may hold that is not on its way yet, in bytes. What a slow reader has not taken beyond that waits
/// in its outbox, where it is shared with others, and a reader that takes little by little is seen to be alive.
const UNSENT_BYTES: u32 = 32 * 1024;

/// Lets each socket that `listener` accepts send at once, and hold little of its own: sockets inherit both.
pub(crate) fn prepare(listener: &TcpListener) -> std::io::Result<()> {
    let listener = socket2::SockRef::from(listener);
    #[cfg(target_os = "linux")]
    if let Err(error) = listener.set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::warn!(%error, "slow readers will hold more memory of the system");
    }
    listener.set_tcp_nodelay(true)
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
        // Before it is dealt, so that sockets are counted in the order they came in.
        let visit = match Visit::begin(&shard, peer) {
            Ok(visit) => visit,
            Err(limit) => {
                refused::turn_away(&shard, stream, limit);
                continue;
            }
        };
        if turn == 0 {
            serve(&shard, stream, visit);
        } else if let Ok(stream) = stream.into_std() {
            // The other shard's reactor must know the socket, so this one forgets it.
            accepting.shards[turn].accept(NewSocket { stream, visit });
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
        Ok(stream) => serve(shard, stream, socket.visit),
        Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
    }
}

/// Reads a WebSocket until it ends.
pub(crate) fn read(reader: Reader) {
    spawn_local(Serving::Open(reader));
}

/// Serves one socket: TLS where it is configured, then HTTP, then a WebSocket if a request asks for one.
fn serve(shard: &Rc<Shard>, stream: TcpStream, visit: Visit) {
    spawn_local(Serving::Door(Box::pin(at_the_door(Rc::clone(shard), stream, visit))));
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

async fn at_the_door(shard: Rc<Shard>, stream: TcpStream, mut visit: Visit) -> Option<Reader> {
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
    visit.show(shown(&shard.app().settings.server, &stream));
    let first = first_bytes(&shard, &mut stream).await?;
    let mut framing = Framing::new(HeadLimits::of(&shard.app().settings.limits));
    if let Err((_, violation)) = framing.feed(&first) {
        refused::answer(&shard, &mut stream, violation).await;
        return None;
    }
    // Whoever is refused here is refused by hyper's way once more, which has the words for it.
    if let Some(head) = Head::parse(&first)
        && let Ok((handshake, opening)) = upgrade::check(&shard, &visit, head.endpoint, head.parts())
    {
        let answer = handshake.response_head(Some(SUBPROTOCOL));
        return Some(opening.open(&shard, stream, answer.into(), &head.rest));
    }
    let patience = Duration::from_secs(shard.app().settings.limits.request_timeout_s.into());
    let metrics = Arc::clone(&shard.app().metrics);
    let stream = Replayed::new(first, stream, framing, metrics, patience);
    Box::pin(serve_http(shard, stream, visit)).await;
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
            shard.app().metrics.requests_refused.of(RequestRefusal::Slow).inc();
            tracing::debug!("no request came in time");
            None
        }
    }
}

async fn handshake(shard: &Shard, stream: TcpStream) -> std::io::Result<Stream> {
    let Some(tls) = &shard.ground.tls else {
        return Ok(Either::Left(stream));
    };
    match tokio::time::timeout(shard.handshake_timeout(), Box::pin(tls.acceptor().accept(stream))).await {
        Ok(accepted) => accepted.map(|stream| Either::Right(Box::new(stream))),
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

async fn serve_http(shard: Rc<Shard>, stream: Replayed, visit: Visit) {
    let visit = Rc::new(visit);
    let service = {
        let shard = Rc::clone(&shard);
        service_fn(move |request| visit::answer(Rc::clone(&shard), Rc::clone(&visit), request))
    };
    let limits = &shard.app().settings.limits;
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shard.handshake_timeout())
        .max_buf_size(limits.head_bytes as usize)
        .max_headers(limits.headers_per_request as usize)
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
