//! One WebSocket: what its session decides, performed.
//!
//! `reader.rs` takes bytes in, `perform.rs` does what the session says, `transport.rs` is the socket, plain or
//! TLS. Everything runs on the connection's shard, so that an answer of the store goes straight into the session.

mod at_once;
mod audit;
mod perform;
mod presence;
mod reader;
mod recheck;
mod resume;
mod transport;
mod view;

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use healthmate_hub::ConnectionKey;
use healthmate_protocol::server::Reconnect;
use healthmate_protocol::{CloseCode, ConnectionId, Envelope, ServerMessage, Topic, UserId};
use healthmate_session::{Endpoint, Fault, Input, Session, State};
use healthmate_ws::{Frame, Inbound, Limits};
use uuid::Uuid;

pub(crate) use self::reader::Reader;
pub(crate) use self::transport::{Stream, Transport, poll_read, shown};
pub(crate) use self::view::made_at;
use crate::auth::Credential;
use crate::shard::Shard;
use crate::telemetry::ConnectionState;
use crate::upgrade::Place;

/// How long a peer may take to answer a close frame before its socket is closed all the same.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// One connection of a shard.
pub(crate) struct Connection {
    id: ConnectionId,
    key: ConnectionKey,
    /// Where the client is.
    client: IpAddr,
    transport: RefCell<Transport>,
    session: RefCell<Session>,
    inbound: RefCell<Inbound>,
    /// When to stop waiting for the peer's close frame; set once ours is queued.
    closing: Cell<Option<Instant>>,
    peer_closed: Cell<bool>,
    ended: Cell<bool>,
    /// When the shard's timer looks at it next.
    next_look: Cell<Option<Instant>>,
    /// Whether it is on record that it writes.
    write_recorded: Cell<bool>,
    /// The topics that are on record as heard in an emergency, and which one.
    emergencies: RefCell<Vec<(Topic, Uuid)>>,
    /// Whose connection it counts as.
    admitted: OnceCell<UserId>,
    /// What its user came in with last.
    credential: RefCell<Option<Credential>>,
    /// A task waits until the socket takes more; until then nobody else writes, which would take its waker's place.
    draining: Cell<bool>,
    /// The reader waits for room in the outbox.
    held_back: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    drain: RefCell<Option<Waker>>,
    /// Gives its place back when the connection is gone.
    _place: Place,
}

impl Connection {
    /// Adds a connection to the shard and greets the client. `answer` goes before the greeting, in the same write; it may
    /// be empty.
    pub(crate) fn open(
        shard: &Rc<Shard>,
        stream: Stream,
        endpoint: Endpoint,
        client: IpAddr,
        place: Place,
        answer: Bytes,
    ) -> Rc<Self> {
        let clock = &shard.app().clock;
        let id = clock.connection_id();
        let options = shard.options.clone();
        let (session, welcome) =
            Session::open(id.clone(), clock.session_id(), endpoint, options, shard.now());
        let deadline = session.deadline();
        let max = shard.app().settings.limits.max_message_bytes;
        let inbound = Inbound::new(Limits { max_frame_bytes: max, max_message_bytes: max });
        let connection = shard.add(|key| {
            Rc::new(Self {
                id,
                key,
                client,
                transport: RefCell::new(Transport::new(stream)),
                session: RefCell::new(session),
                inbound: RefCell::new(inbound),
                closing: Cell::default(),
                peer_closed: Cell::default(),
                ended: Cell::default(),
                next_look: Cell::default(),
                write_recorded: Cell::default(),
                emergencies: RefCell::default(),
                admitted: OnceCell::new(),
                credential: RefCell::default(),
                draining: Cell::default(),
                held_back: Cell::default(),
                reader: RefCell::default(),
                drain: RefCell::default(),
                _place: place,
            })
        });
        let metrics = &shard.app().metrics;
        metrics.connections_opened.inc();
        metrics.connections.of(ConnectionState::Connected).inc();
        connection.look_by(shard, deadline);
        if !answer.is_empty() {
            shard.hub.borrow_mut().send_head(connection.key, answer);
        }
        connection.perform(shard, welcome);
        shard.wake();
        connection
    }

    /// Its id, as logs and clients name it.
    pub(crate) fn id(&self) -> &ConnectionId {
        &self.id
    }

    pub(crate) fn key(&self) -> ConnectionKey {
        self.key
    }

    /// Gives the session an input and performs what it decides.
    pub(crate) fn drive(self: &Rc<Self>, shard: &Rc<Shard>, input: Input<'_>) {
        let mut actions = Vec::new();
        let (before, after, topics, deadline) = {
            let mut session = self.session.borrow_mut();
            let before = (session.state(), session.topics().count());
            session.handle(shard.now(), input, &mut actions);
            (before, session.state(), session.topics().count(), session.deadline())
        };
        self.look_by(shard, deadline);
        self.count_change(shard, before, (after, topics));
        let idle = actions.is_empty();
        for action in actions {
            self.perform(shard, action);
        }
        if !idle {
            shard.wake();
        }
    }

    fn count_change(&self, shard: &Shard, before: (State, usize), after: (State, usize)) {
        let metrics = &shard.app().metrics;
        if before.1 != after.1 {
            metrics.subscriptions.inc_by(after.1 as i64 - before.1 as i64);
        }
        if before.0 == after.0 {
            return;
        }
        tracing::debug!(connection.id = %self.id, state = ?after.0, "connection changed state");
        if let Some(state) = counted(before.0) {
            metrics.connections.of(state).dec();
        }
        if let Some(state) = counted(after.0) {
            metrics.connections.of(state).inc();
        }
    }

    /// Queues a close frame, once, and starts to wait for the peer's.
    pub(crate) fn close(&self, shard: &Shard, code: CloseCode, reason: &str) {
        if self.closing.get().is_none() {
            shard.app().metrics.closes.of(code).inc();
        }
        self.close_with(shard, Frame::close(healthmate_ws::CloseCode::new(code.as_u16()), reason));
    }

    fn close_with(&self, shard: &Shard, frame: Frame) {
        if self.closing.get().is_some() {
            return;
        }
        let until = shard.now().instant + CLOSE_WAIT;
        self.closing.set(Some(until));
        self.look_by(shard, Some(until));
        shard.hub.borrow_mut().send(self.key, frame);
        shard.wake();
    }

    /// Asks the client to come back after a moment, to the session it has, and closes.
    pub(crate) fn ask_to_reconnect(self: &Rc<Self>, shard: &Rc<Shard>, after_ms: u32) {
        self.drive(shard, Input::Lost(Fault::AskedToReconnect));
        if self.closing.get().is_none() {
            let asked = ServerMessage::Reconnect(Reconnect { after_ms });
            self.send(shard, &Envelope::new(shard.app().clock.now(), asked));
        }
        self.dismiss(shard, CloseCode::ServerRestart);
    }

    /// Ends the connection for a reason of the server's.
    pub(crate) fn dismiss(self: &Rc<Self>, shard: &Rc<Shard>, code: CloseCode) {
        self.drive(shard, Input::Disconnected);
        self.close(shard, code, code.meaning());
    }

    /// The client has come back before its loss was noticed: the session goes on elsewhere, and this connection ends
    /// and counts no longer.
    pub(crate) fn hand_over(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.drive(shard, Input::Lost(Fault::TakenOver));
        if let Some(user) = self.admitted.get() {
            shard.ground.registry.remove(user, &self.id);
        }
        self.dismiss(shard, CloseCode::Replaced);
    }

    /// Our close frame is written.
    pub(crate) fn close_sent(&self) {
        if self.peer_closed.get() {
            self.end();
        }
    }

    /// The shard's timer looks at the connection, as was set for `when`.
    pub(crate) fn tick(self: &Rc<Self>, shard: &Rc<Shard>, when: Instant) {
        if self.next_look.get() != Some(when) {
            return;
        }
        self.next_look.set(None);
        match self.closing.get() {
            // The peer owes a close frame.
            Some(until) if when >= until => self.end(),
            until => {
                self.drive(shard, Input::Tick);
                self.look_by(shard, until);
            }
        }
    }

    /// Sets the shard's timer, unless it looks at this connection by then anyway.
    fn look_by(&self, shard: &Shard, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.next_look.get().is_none_or(|next| deadline < next) {
            self.next_look.set(Some(deadline));
            shard.timers.set(deadline, self.key);
        }
    }

    /// Ends the connection without another word: the reader lets go of it.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        wake(&self.reader);
        wake(&self.drain);
    }

    /// All that waited is written: a reader that was held back goes on.
    pub(crate) fn drained(&self) {
        if self.held_back.take() {
            wake(&self.reader);
        }
    }

    /// Waits until the socket takes more, or the connection has ended.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.ended.get() {
            return Poll::Ready(Err(std::io::ErrorKind::NotConnected.into()));
        }
        keep(&self.drain, cx);
        self.transport.borrow_mut().poll_writable(cx)
    }

    /// Writes what the socket takes now: nothing while a task waits for it.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.draining.get() {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        self.transport.borrow_mut().try_write(bytes)
    }

    /// Starts to wait for the socket; false if somebody does already.
    pub(crate) fn start_draining(&self) -> bool {
        !self.draining.replace(true)
    }

    pub(crate) fn stop_draining(&self) {
        self.draining.set(false);
    }

    /// Whether everything that was written has left the transport's own buffer.
    pub(crate) fn is_flushed(&self) -> bool {
        self.transport.borrow().is_flushed()
    }
}

fn counted(state: State) -> Option<ConnectionState> {
    match state {
        State::Connected => Some(ConnectionState::Connected),
        State::Authenticated => Some(ConnectionState::Authenticated),
        // Lost sessions are counted where they are kept.
        State::Error | State::Disconnected => None,
    }
}

fn keep(slot: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut slot = slot.borrow_mut();
    if !slot.as_ref().is_some_and(|held| held.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

fn wake(slot: &RefCell<Option<Waker>>) {
    if let Some(waker) = slot.borrow_mut().take() {
        waker.wake();
    }
}
