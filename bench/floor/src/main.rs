//! The floor of the comparison: what the system asks of any WebSocket server, and nothing else.
//!
//! One thread on epoll. `/sub/A,B` hears topics, whatever `/pub/A` sends goes to a topic, `/echo` gets back what it
//! sends. A message is framed once and written with one write to each subscriber; what one read brought is written
//! together. There is no authentication, no limit, no log and no metric, and a subscriber that does not read is cut.

mod socket;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use socket::{Kind, Socket};

const LISTENER: Token = Token(usize::MAX);

/// How much one read takes.
const SCRATCH_BYTES: usize = 64 * 1024;

struct Floor {
    poll: Poll,
    sockets: Slab<Socket>,
    topics: Topics,
    /// The frames that one read brought, ready to be written.
    frames: Vec<u8>,
}

/// Topics by number, each with its subscribers.
#[derive(Default)]
struct Topics {
    numbers: HashMap<String, usize>,
    subscribers: Vec<Vec<usize>>,
}

impl Topics {
    fn number(&mut self, name: &str) -> usize {
        *self.numbers.entry(name.to_owned()).or_insert_with(|| {
            self.subscribers.push(Vec::new());
            self.subscribers.len() - 1
        })
    }
}

fn main() -> io::Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listens on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;
    let mut floor = Floor { poll, sockets: Slab::new(), topics: Topics::default(), frames: Vec::new() };
    let (mut events, mut scratch) = (Events::with_capacity(1024), vec![0; SCRATCH_BYTES]);
    loop {
        match floor.poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener)?,
                Token(key) => floor.ready(key, event.is_readable(), event.is_writable(), &mut scratch),
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (mut stream, _) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client has left already.
                Err(_) => continue,
            };
            stream.set_nodelay(true)?;
            let entry = self.sockets.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Socket::new(stream));
        }
    }

    fn ready(&mut self, key: usize, readable: bool, writable: bool, scratch: &mut [u8]) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let written = if writable { socket.flush() } else { Ok(()) };
        let alive = written.and_then(|()| if readable { self.read(key, scratch) } else { Ok(()) });
        if alive.is_err() {
            self.remove(key);
        }
    }

    fn read(&mut self, key: usize, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let socket = &mut self.sockets[key];
            let count = match socket.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let full = count == scratch.len();
            if let Kind::Handshake = socket.kind {
                if let Some((kind, topics)) = socket.shake_hands(&scratch[..count])? {
                    self.join(key, &kind, &topics);
                }
            } else {
                self.take(key, &mut scratch[..count])?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn join(&mut self, key: usize, kind: &str, topics: &str) {
        self.sockets[key].kind = match kind {
            "sub" => {
                let numbers: Vec<_> = topics.split(',').map(|name| self.topics.number(name)).collect();
                numbers.iter().for_each(|number| self.topics.subscribers[*number].push(key));
                Kind::Subscriber(numbers.into_boxed_slice())
            }
            "pub" => Kind::Publisher(self.topics.number(topics)),
            _ => Kind::Echo,
        };
    }

    /// Takes what a read brought, and writes it to whoever hears it.
    fn take(&mut self, key: usize, bytes: &mut [u8]) -> io::Result<()> {
        self.frames.clear();
        let socket = &mut self.sockets[key];
        socket.take_frames(bytes, &mut self.frames)?;
        if self.frames.is_empty() {
            return Ok(());
        }
        match socket.kind {
            Kind::Echo => socket.write(&self.frames)?,
            Kind::Publisher(topic) => {
                // A subscriber that cannot be written to is removed when its end is read.
                for subscriber in &self.topics.subscribers[topic] {
                    let _ = self.sockets[*subscriber].write(&self.frames);
                }
            }
            Kind::Subscriber(_) | Kind::Handshake => {}
        }
        Ok(())
    }

    fn remove(&mut self, key: usize) {
        if let Kind::Subscriber(topics) = self.sockets.remove(key).kind {
            for topic in topics {
                self.topics.subscribers[topic].retain(|subscriber| *subscriber != key);
            }
        }
    }
}
