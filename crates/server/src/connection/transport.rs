//! The socket: plain, or behind TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::config::ServerSettings;
use crate::tls::Shown;

/// A socket as the listener accepts it.
pub(crate) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Reads into `room`; 0 bytes is the end of the stream.
pub(crate) fn poll_read(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(room);
    let result = Pin::new(stream).poll_read(cx, &mut buffer);
    result.map_ok(|()| buffer.filled().len())
}

/// The certificate that the client of `stream` showed.
pub(crate) fn shown(settings: &ServerSettings, stream: &Stream) -> Shown {
    let certificates = match stream {
        Either::Left(_) => None,
        Either::Right(tls) => tls.get_ref().1.peer_certificates(),
    };
    Shown::new(settings, certificates)
}

/// A socket that is read by one task and written by another of the same thread.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: Stream,
    /// TLS keeps records of its own, which may not have left when a write returned.
    flushed: bool,
}

impl Transport {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, flushed: true }
    }

    /// The certificate that the client showed.
    pub(crate) fn shown(&self, settings: &ServerSettings) -> Shown {
        shown(settings, &self.stream)
    }

    /// Reads into `room`; 0 bytes is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(&mut self.stream, cx, room)
    }

    /// Writes what the socket takes now.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Either::Left(plain) => plain.try_write(bytes),
            Either::Right(tls) => {
                // Nobody waits for this one: `poll_writable` does, with the waker of the task that drains.
                let mut cx = Context::from_waker(Waker::noop());
                let Poll::Ready(result) = Pin::new(tls).poll_write(&mut cx, bytes) else {
                    return Err(io::ErrorKind::WouldBlock.into());
                };
                let count = result?;
                self.flushed = self.poll_flush(&mut cx)?.is_ready();
                Ok(count)
            }
        }
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// Waits until the socket takes more, and the transport's own buffer is empty.
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Either::Left(plain) = &self.stream {
            return plain.poll_write_ready(cx);
        }
        let polled = self.poll_flush(cx)?;
        self.flushed = polled.is_ready();
        polled.map(Ok)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(result) => result.map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}
