//! The one task of a connection: bytes in, events to the session.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use healthmate_protocol::CloseCode;
use healthmate_session::{Fault, Input};
use healthmate_ws::{Event, Frame};

use super::{Connection, keep};
use crate::shard::Shard;

/// What reads a connection: polled by the one task that the connection has.
pub(crate) struct Reader {
    shard: Rc<Shard>,
    connection: Rc<Connection>,
}

impl Reader {
    /// Takes in `rest`, which came with the handshake.
    pub(crate) fn new(shard: Rc<Shard>, connection: Rc<Connection>, rest: &[u8]) -> Self {
        if !rest.is_empty() {
            connection.take(&shard, &mut rest.to_vec());
        }
        Self { shard, connection }
    }

    /// Reads until the connection ends, then lets go of it.
    pub(crate) fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shard, connection } = self;
        loop {
            match ready!(connection.poll_step(cx, shard)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(connection.id = %connection.id, %error, "read failed");
                    break;
                }
            }
        }
        connection.end();
        let closed = connection.peer_closed.get() || connection.closing.get().is_some();
        let end = if closed { Input::Disconnected } else { Input::Lost(Fault::TransportFailed) };
        connection.drive(shard, end);
        connection.take_leave(shard);
        shard.remove(connection.key);
        Poll::Ready(())
    }
}

impl Connection {
    /// One read into the buffer that all connections of the shard share. False at the end.
    fn poll_step(self: &Rc<Self>, cx: &mut Context<'_>, shard: &Rc<Shard>) -> Poll<io::Result<bool>> {
        if self.ended.get() {
            return Poll::Ready(Ok(false));
        }
        keep(&self.reader, cx);
        let budget = shard.app().settings.limits.queued_bytes_per_connection as usize;
        if shard.hub.borrow().queued_bytes(self.key) > budget {
            // A client that asks and does not read its answers is not heard until it does: `drained` wakes us.
            self.held_back.set(true);
            return Poll::Pending;
        }
        let mut room = shard.received.borrow_mut();
        let count = ready!(self.transport.borrow_mut().poll_read(cx, &mut room))?;
        if count > 0 {
            self.take(shard, &mut room[..count]);
        }
        Poll::Ready(Ok(count > 0))
    }

    fn take(self: &Rc<Self>, shard: &Rc<Shard>, bytes: &mut [u8]) {
        let mut inbound = self.inbound.borrow_mut();
        let mut events = inbound.feed(bytes);
        loop {
            match events.next() {
                Ok(Some(event)) => self.on_event(shard, event),
                Ok(None) => return,
                Err(violation) => {
                    tracing::debug!(connection.id = %self.id, %violation, "the client broke the protocol");
                    if let Some(code) =
                        CloseCode::ALL.iter().find(|code| code.as_u16() == violation.code().get())
                    {
                        shard.app().metrics.closes.of(*code).inc();
                    }
                    self.drive(shard, Input::Disconnected);
                    return self.close_with(shard, violation.close_frame());
                }
            }
        }
    }

    fn on_event(self: &Rc<Self>, shard: &Rc<Shard>, event: Event<'_>) {
        match event {
            Event::Text(text) => {
                shard.app().metrics.messages_received.inc();
                shard.app().metrics.received_bytes.inc_by(text.len() as u64);
                self.drive(shard, Input::Text(text));
            }
            Event::Ping(payload) => {
                shard.hub.borrow_mut().send(self.key, Frame::pong(payload));
                shard.wake();
                self.drive(shard, Input::Ping);
            }
            Event::Pong(_) => self.drive(shard, Input::Pong),
            Event::Binary(_) => {
                self.dismiss(shard, CloseCode::Unsupported);
            }
            Event::Close { code, .. } => self.on_close(shard, code),
        }
    }

    /// The peer closes, or answers our close.
    fn on_close(self: &Rc<Self>, shard: &Rc<Shard>, code: healthmate_ws::CloseCode) {
        self.peer_closed.set(true);
        self.drive(shard, Input::Disconnected);
        if self.closing.get().is_none() {
            shard.app().metrics.closes.of(CloseCode::Normal).inc();
            self.close_with(shard, Frame::close(code, ""));
        } else if shard.hub.borrow().queued_bytes(self.key) == 0 {
            self.end();
        }
    }
}
