//! A stream whose first bytes were read already.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::framing::Framing;
use crate::connection::Stream;
use crate::telemetry::{Metrics, RequestRefusal};

/// Gives the bytes again that were read from `stream`, then what follows; all that it reads is followed by
/// [`Framing`], and nothing after a violation is given.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) first: Bytes,
    pub(crate) stream: Stream,
    watch: Watch,
}

/// What is watched while HTTP is spoken.
#[derive(Debug)]
struct Watch {
    /// `None` once a rule was broken.
    framing: Option<Framing>,
    metrics: Arc<Metrics>,
    /// For how long the client may take nothing of an answer.
    patience: Duration,
    /// Runs while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Replayed {
    /// `framing` has seen what was read.
    pub(crate) fn new(
        first: Bytes,
        stream: Stream,
        framing: Framing,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Self {
        let watch = Watch { framing: Some(framing), metrics, patience, stalled: None };
        Self { first, stream, watch }
    }
}

impl Watch {
    /// Follows what was read. In the place of what breaks a rule stands a byte that nobody takes for HTTP: hyper
    /// answers it with 400, and closes.
    fn follow(&mut self, read: &mut [u8]) -> usize {
        let Some(framing) = &mut self.framing else { return 0 };
        match framing.feed(read) {
            Ok(()) => read.len(),
            Err((at, violation)) => {
                self.metrics.requests_refused.of(violation.reason()).inc();
                tracing::debug!(%violation, "a request was malformed");
                self.framing = None;
                read[at] = 0;
                at + 1
            }
        }
    }

    /// Gives up on a client that takes nothing for too long.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        self.metrics.requests_refused.of(RequestRefusal::NotTaken).inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            let this = &mut *self;
            let before = room.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, room))?;
            let kept = this.watch.follow(&mut room.filled_mut()[before..]);
            room.set_filled(before + kept);
            return Poll::Ready(Ok(()));
        }
        let count = self.first.len().min(room.remaining());
        room.put_slice(&self.first[..count]);
        self.first.advance(count);
        if self.first.is_empty() {
            // Even empty it would keep the buffer.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch.wrote(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::either::Either;

    use super::*;
    use crate::listener::framing::HeadLimits;

    /// Two ends of a connection: ours has read `first` already.
    async fn pair(first: &'static [u8]) -> (TcpStream, Replayed, Arc<Metrics>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let limits = HeadLimits { bytes: 1024, headers: 8, url: 100 };
        let mut framing = Framing::new(limits);
        framing.feed(first).expect("well formed");
        let (metrics, patience) = (Arc::new(Metrics::new()), Duration::from_secs(30));
        let first = Bytes::from_static(first);
        (peer, Replayed::new(first, Either::Left(stream), framing, Arc::clone(&metrics), patience), metrics)
    }

    #[tokio::test]
    async fn the_first_bytes_come_first_and_once_and_nothing_after_a_violation() {
        let (mut peer, mut replayed, metrics) = pair(b"GET / HT").await;
        peer.write_all(b"TP/1.1\r\nHost: a\nX: y\r\n\r\n").await.expect("written");
        peer.shutdown().await.expect("closed");
        let mut two = [0; 2];
        replayed.read_exact(&mut two).await.expect("there");
        assert_eq!(&two, b"GE");
        let mut rest = String::new();
        replayed.read_to_string(&mut rest).await.expect("there");
        assert_eq!(rest, "T / HTTP/1.1\r\nHost: a\0");
        assert_eq!(metrics.requests_refused.of(RequestRefusal::Malformed).get(), 1);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (peer, mut replayed, metrics) = pair(b"").await;
        tokio::time::pause();
        let much = vec![0; 65_536];
        let error = loop {
            if let Err(error) = replayed.write_all(&much).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(metrics.requests_refused.of(RequestRefusal::NotTaken).get(), 1);
        drop(peer);
    }
}
