//! The generator's sockets: one thread, one epoll, one buffer to read into, and no work per message beyond finding
//! its frame. It shares the machine with the server that it measures.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt;
use socket2::{Domain, Socket, Type};

use super::{clock, frame};

const SCRATCH_BYTES: usize = 256 * 1024;

/// The largest segment that comes over most of the internet, in bytes.
const PHONE_SEGMENT: u32 = 1400;

/// How many bytes the system takes in for a phone.
const PHONE_BUFFER: usize = 16 * 1024;

/// How many of them are read between two looks at others.
const PHONES_A_TURN: usize = 8;

const CLOSE: u8 = 8;
const PING: u8 = 9;

/// What came on a socket.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// The server has agreed to speak WebSocket.
    Upgraded,
    /// A message.
    Message(&'a [u8]),
}

/// All sockets of a load.
pub(crate) struct Net {
    poll: Poll,
    events: Events,
    sockets: Sockets,
    scratch: Box<[u8]>,
    phones: bool,
}

/// The sockets by their numbers, 0, 1, 2, … in the order of their connects.
#[derive(Default)]
pub(crate) struct Sockets {
    all: Vec<Peer>,
    /// When the last read returned, by [`clock::nanos`].
    read_at: u64,
}

struct Peer {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    tail: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    upgraded: bool,
    reads: bool,
}

impl Net {
    /// No sockets yet.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            sockets: Sockets::default(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            phones: false,
        })
    }

    /// No sockets yet; they will be as those of phones: small segments, and a small buffer. Each turn takes what came on a
    /// few of them.
    pub(crate) fn of_phones() -> io::Result<Self> {
        Ok(Self { events: Events::with_capacity(PHONES_A_TURN), phones: true, ..Self::new()? })
    }

    /// Connects, asks for a WebSocket at `path`, and returns the socket's number. It cannot be written to before
    /// [`Received::Upgraded`] came.
    pub(crate) fn connect(&mut self, address: SocketAddr, path: &str) -> anyhow::Result<usize> {
        let stream = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if self.phones {
            // Before it connects: the window that it offers, and what is sent to it at once, follow from these.
            stream.set_tcp_mss(PHONE_SEGMENT)?;
            stream.set_recv_buffer_size(PHONE_BUFFER)?;
        }
        stream.connect(&address.into()).context("cannot connect")?;
        let stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // Its end is a reset: no port is left waiting.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        let mut stream = TcpStream::from_std(stream);
        let number = self.sockets.all.len();
        self.poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        let (tail, unsent) = (Vec::new(), Vec::new());
        self.sockets.all.push(Peer { stream, tail, unsent, upgraded: false, reads: true });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.sockets.write(number, request.as_bytes())?;
        Ok(number)
    }

    /// The sockets, to write to.
    pub(crate) fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }

    /// Takes what has come and hands each message to `take`; waits for something at most as long as `wait`.
    ///
    /// # Errors
    /// If the server has closed a connection, or what `take` returns.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(&mut Sockets, usize, Received<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { poll, events, sockets, scratch, .. } = self;
        match poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &*events {
            let number = event.token().0;
            if event.is_writable() {
                sockets.flush(number)?;
            }
            if event.is_readable() && sockets.all.get(number).is_some_and(|socket| socket.reads) {
                sockets.read(number, scratch, &mut take)?;
            }
        }
        Ok(())
    }

    /// Reads no more from a socket.
    pub(crate) fn stop_reading(&mut self, number: usize) {
        self.sockets.all[number].reads = false;
    }

    /// Reads a socket again.
    pub(crate) fn read_on(
        &mut self,
        number: usize,
        mut take: impl FnMut(&mut Sockets, usize, Received<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let socket = &mut self.sockets.all[number];
        socket.reads = true;
        // What came meanwhile was announced once, and nobody listened.
        self.sockets.read(number, &mut self.scratch, &mut take)
    }
}

impl Sockets {
    /// When what is handed over now was read.
    pub(crate) fn read_at(&self) -> u64 {
        self.read_at
    }

    /// Writes bytes, or keeps what the socket does not take.
    pub(crate) fn write(&mut self, number: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let Peer { stream, unsent, .. } = &mut self.all[number];
        if !unsent.is_empty() {
            unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = write_some(stream, bytes)?;
        unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Writes one message.
    pub(crate) fn send(&mut self, number: usize, text: &str) -> anyhow::Result<()> {
        self.send_all(number, [text])
    }

    /// Writes messages, together.
    pub(crate) fn send_all<'a>(
        &mut self,
        number: usize,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<()> {
        let mut out = Vec::new();
        texts.into_iter().for_each(|text| frame::push_text(text.as_bytes(), &mut out));
        self.write(number, &out)
    }

    fn flush(&mut self, number: usize) -> anyhow::Result<()> {
        let Some(Peer { stream, unsent, .. }) = self.all.get_mut(number) else { return Ok(()) };
        if !unsent.is_empty() {
            let taken = write_some(stream, unsent)?;
            unsent.drain(..taken);
        }
        Ok(())
    }

    fn read(
        &mut self,
        number: usize,
        scratch: &mut [u8],
        take: &mut impl FnMut(&mut Self, usize, Received<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let socket = &mut self.all[number];
            let kept = socket.tail.len();
            scratch[..kept].copy_from_slice(&socket.tail);
            socket.tail.clear();
            let count = match socket.stream.read(&mut scratch[kept..]) {
                Ok(0) => bail!("the server closed connection {number}"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error).context("cannot read"),
            };
            self.read_at = clock::nanos();
            let filled = kept + count;
            let used = self.take_all(number, &scratch[..filled], take)?;
            self.all[number].tail.extend_from_slice(&scratch[used..filled]);
            // Less than there was room for: the next readiness will be announced.
            if filled < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Hands over all that is whole in `bytes`, and says how much that was.
    fn take_all(
        &mut self,
        number: usize,
        bytes: &[u8],
        take: &mut impl FnMut(&mut Self, usize, Received<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let mut used = 0;
        if !self.all[number].upgraded {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                bail!("the server answered {}", String::from_utf8_lossy(bytes));
            }
            self.all[number].upgraded = true;
            used = end + 4;
            take(self, number, Received::Upgraded)?;
        }
        while let Some(found) = frame::first(&bytes[used..]) {
            used += found.length;
            match found.opcode {
                CLOSE => {
                    let reason = String::from_utf8_lossy(found.payload.get(2..).unwrap_or_default());
                    bail!("the server closed connection {number}: {reason}");
                }
                PING => self.pong(number, found.payload)?,
                _ => take(self, number, Received::Message(found.payload))?,
            }
        }
        Ok(used)
    }

    fn pong(&mut self, number: usize, payload: &[u8]) -> anyhow::Result<()> {
        let mut out = Vec::new();
        frame::push_text(payload, &mut out);
        out[0] = 0x8a;
        self.write(number, &out)
    }
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> anyhow::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("cannot write"),
        }
    }
    Ok(taken)
}
