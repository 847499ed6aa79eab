//! A shard: one thread that owns its connections, their subscriptions and outboxes.
//!
//! Everything on it is single-threaded, so nothing on the way to a socket takes a lock. Other threads reach it
//! through its [`ShardHandle`]: new sockets, committed events, the end. Its tasks are a reader for each connection,
//! one flusher (`shard/flusher.rs`), one timer (`shard/timers.rs`), and short-lived ones that wait for the store.

mod flusher;
mod handle;
mod reads;
mod runs;
mod timers;
mod trail;
mod view;
mod writing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use healthmate_care::{Bucket, Rate};
use healthmate_hub::{ConnectionKey, Hub};
use healthmate_session::{Input, Now, Options};
use healthmate_ws::OriginPolicy;
use parking_lot::Mutex;
use slotmap::SecondaryMap;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio_util::sync::CancellationToken;

pub(crate) use self::handle::{Letters, NewSocket, ShardHandle};
use self::runs::Runs;
use self::timers::Timers;
use self::trail::Trail;
use crate::app::App;
use crate::config::{AuthSettings, LimitSettings, SessionSettings};
use crate::connection::Connection;
use crate::gate::Gate;
use crate::listener;
use crate::publish::Broadcast;
use crate::registry::Registry;
use crate::telemetry::ConnectionState;
use crate::tls::Tls;

/// How much one read takes, shared by all connections of the shard.
const READ_BYTES: usize = 64 * 1024;

/// How long a restart takes at least: nobody is asked to come back sooner, in milliseconds.
const COME_BACK_MS: u64 = 500;

/// What all shards are started with.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) origins: Arc<OriginPolicy>,
    /// The places for connections of this node.
    pub(crate) places: Arc<Semaphore>,
    /// Whose connections there are.
    pub(crate) registry: Arc<Registry>,
    /// How much each client address may ask for.
    pub(crate) gate: Arc<Gate>,
    /// How often a new connection is taken.
    pub(crate) opening: Arc<Mutex<Bucket>>,
    /// How to reach the shards, all of them.
    pub(crate) shards: Arc<[Arc<ShardHandle>]>,
}

/// What the tasks of one shard share.
pub(crate) struct Shard {
    pub(crate) ground: Ground,
    pub(crate) options: Arc<Options>,
    pub(crate) hub: RefCell<Hub>,
    pub(crate) timers: Timers,
    /// Pages of the log, for those who are behind.
    runs: Runs,
    /// What is to be recorded.
    trail: Trail,
    /// What one read takes in, for whichever connection reads.
    pub(crate) received: RefCell<Box<[u8]>>,
    /// Cancelled when the shard begins to stop.
    pub(crate) stop: CancellationToken,
    pub(crate) handle: Arc<ShardHandle>,
    /// Which of the shards this is, from 0.
    number: usize,
    connections: RefCell<SecondaryMap<ConnectionKey, Rc<Connection>>>,
    /// How often access was decided again: what was decided before a change does not count after it.
    pub(crate) rechecks: Cell<u64>,
    /// Sockets that speak HTTP, or TLS before it.
    serving_http: Cell<usize>,
    /// Commands of these connections that the store's writer has not answered yet.
    writing: Cell<usize>,
}

impl Shard {
    fn new(ground: Ground, handle: Arc<ShardHandle>, number: usize) -> Rc<Self> {
        let settings = Arc::clone(&ground.app.settings);
        let limits = &settings.limits;
        Rc::new(Self {
            options: Arc::new(session_options(limits, &settings.sessions, &settings.auth)),
            hub: RefCell::new(Hub::new(limits.queued_bytes_per_connection as usize)),
            timers: Timers::default(),
            runs: Runs::default(),
            trail: Trail::default(),
            received: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            stop: CancellationToken::new(),
            handle,
            number,
            connections: RefCell::default(),
            rechecks: Cell::default(),
            serving_http: Cell::default(),
            writing: Cell::default(),
            ground,
        })
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.ground.app
    }

    /// How long a TLS handshake, or the head of a request, may take.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(self.app().settings.limits.handshake_timeout_s.into())
    }

    /// The time, for sessions.
    pub(crate) fn now(&self) -> Now {
        Now { time: self.app().clock.now(), instant: tokio::time::Instant::now().into_std() }
    }

    /// Lets the flusher look at what there is to write, publish or read.
    pub(crate) fn wake(&self) {
        self.handle.wake();
    }

    /// Adds a connection to the shard, under the key that the hub gives it.
    pub(crate) fn add(&self, make: impl FnOnce(ConnectionKey) -> Rc<Connection>) -> Rc<Connection> {
        let key = self.hub.borrow_mut().connect();
        let connection = make(key);
        self.connections.borrow_mut().insert(key, Rc::clone(&connection));
        connection
    }

    /// Passes an ephemeral event on to everyone on this node who asked for it and keeps up. Here, too, it waits in the
    /// letter box until the flusher looks, so that what comes with one read is queued as one.
    pub(crate) fn broadcast(&self, event: Broadcast) {
        self.app().metrics.broadcasts.inc();
        let event = Arc::new(event);
        for shard in self.ground.shards.iter() {
            shard.broadcast(Arc::clone(&event));
        }
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, key: ConnectionKey) {
        self.hub.borrow_mut().disconnect(key);
        self.connections.borrow_mut().remove(key);
        self.wake_if_over();
    }

    /// Counts a socket that speaks HTTP until what is returned is dropped; `None` if there are `limit` already.
    pub(crate) fn serving_http(self: &Rc<Self>, limit: usize) -> Option<ServingHttp> {
        if self.serving_http.get() >= limit {
            return None;
        }
        self.serving_http.set(self.serving_http.get() + 1);
        self.app().metrics.connections.of(ConnectionState::Connecting).inc();
        Some(ServingHttp(Rc::clone(self)))
    }

    pub(crate) fn connection(&self, key: ConnectionKey) -> Option<Rc<Connection>> {
        self.connections.borrow().get(key).cloned()
    }

    /// Every connection, to be gone through while some of them end.
    pub(crate) fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().cloned().collect()
    }

    /// Whether the shard was told to stop, its last socket is gone, and all it recorded is on disk.
    fn is_over(&self) -> bool {
        self.stop.is_cancelled()
            && self.connections.borrow().is_empty()
            && self.serving_http.get() == 0
            && self.trail.is_idle()
    }

    fn wake_if_over(&self) {
        if self.is_over() {
            self.wake();
        }
    }

    /// Tells every connection that the server restarts, and each its own time to come back: no more a second than
    /// the setting allows, over all shards.
    fn begin_stop(self: &Rc<Self>) {
        self.stop.cancel();
        let settings = &self.app().settings.server;
        for (index, connection) in self.all().into_iter().enumerate() {
            let turn = (index * self.ground.shards.len() + self.number) as u64;
            let after_ms = COME_BACK_MS + turn * 1000 / u64::from(settings.reconnects_per_second);
            // Nothing is kept of its session: the server that it comes back to is another one.
            connection.drive(self, Input::Disconnected);
            connection.ask_to_reconnect(self, u32::try_from(after_ms).unwrap_or(u32::MAX));
        }
    }

    /// Serves until the handle says stop and all connections are gone.
    async fn run(self: Rc<Self>) {
        spawn_local(Rc::clone(&self).run_timers());
        self.run_flusher().await;
    }
}

/// Starts a shard on a thread of its own. What is returned completes when the shard has ended.
///
/// # Errors
/// If the thread or its runtime cannot be made.
pub(crate) fn start(
    ground: Ground,
    handle: Arc<ShardHandle>,
    number: usize,
) -> std::io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
        LocalSet::new().block_on(&runtime, Shard::new(ground, handle, number).run());
        // Whoever waited may have stopped waiting.
        let _ = ended.send(());
    })?;
    Ok(end)
}

impl Shard {
    /// Takes what other threads have left for this shard.
    fn take_inputs(self: &Rc<Self>) {
        let Letters { commits, broadcasts, listen, sockets, closes, recheck, questions, stop } =
            self.handle.take();
        // First, because a commit takes longer: so they come in the order they were sent in, mostly.
        if !broadcasts.is_empty() {
            let mut hub = self.hub.borrow_mut();
            let delivered = Broadcast::publish(&broadcasts, &mut hub);
            self.app().metrics.ephemeral_deliveries.inc_by(delivered as u64);
        }
        if !commits.is_empty() {
            let mut hub = self.hub.borrow_mut();
            let delivered: usize = commits.iter().map(|committed| committed.publish(&mut hub)).sum();
            self.app().metrics.deliveries.inc_by(delivered as u64);
        }
        if let Some(accepting) = listen {
            spawn_local(listener::accept(Rc::clone(self), accepting));
        }
        for socket in sockets {
            listener::take_over(self, socket);
        }
        for (key, code) in closes {
            if let Some(connection) = self.connection(key) {
                connection.dismiss(self, code);
            }
        }
        if recheck {
            self.rechecks.set(self.rechecks.get() + 1);
            for connection in self.all() {
                connection.recheck(self);
            }
        }
        for question in questions {
            question.answer(self);
        }
        if stop && !self.stop.is_cancelled() {
            self.begin_stop();
        }
    }
}

/// A socket that speaks HTTP.
pub(crate) struct ServingHttp(Rc<Shard>);

impl Drop for ServingHttp {
    fn drop(&mut self) {
        self.0.serving_http.set(self.0.serving_http.get() - 1);
        self.0.app().metrics.connections.of(ConnectionState::Connecting).dec();
        self.0.wake_if_over();
    }
}

fn session_options(limits: &LimitSettings, sessions: &SessionSettings, auth: &AuthSettings) -> Options {
    let seconds = |count: u32| Duration::from_secs(count.into());
    Options {
        authenticate_within: seconds(limits.authenticate_within_s),
        heartbeat_interval: seconds(limits.heartbeat_interval_s),
        ping_after: seconds(limits.ping_after_s),
        gone_after: seconds(limits.gone_after_s),
        // Two seconds' worth at once: a client that was away sends what it could not.
        commands: Rate::per_second(limits.commands_per_second, limits.commands_per_second.saturating_mul(2)),
        idle_timeout: seconds(limits.idle_timeout_s),
        token_leeway: seconds(auth.leeway_s),
        warn_before: seconds(auth.warn_before_s),
        expiry_grace: seconds(auth.expiry_grace_s),
        topics: limits.topics_per_connection as usize,
        pending_requests: limits.pending_requests_per_connection as usize,
        redelivery: sessions.redelivery(),
        max_message_bytes: limits.max_message_bytes as usize,
    }
}
