//! Starting, running and stopping a server.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use healthmate_care::Clock;
use healthmate_protocol::UserId;
use healthmate_storage::{EventKind, EventLog};
use healthmate_storage_sqlite::{OpenError, Options, SqliteStore};
use healthmate_ws::{InvalidOrigin, OriginPolicy};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;

use crate::app::App;
use crate::auth::audit_key;
use crate::auth::secret::{self, SecretError};
use crate::auth::{IssuerError, TokenVerifier};
use crate::config::Settings;
use crate::gate::Gate;
use crate::listener::{self, Accepting};
use crate::registry::Registry;
use crate::shard::{self, Ground, ShardHandle};
use crate::tls::{self, Tls};
use crate::{break_glass, http, jobs, publish};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The key for tokens cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The keys of an issuer cannot be read.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// An allowed origin is none.
    #[error("server.allowed_origins: {0}")]
    Origin(#[from] InvalidOrigin),
    /// Certificate or key cannot be used.
    #[error("{path}: {problem}", path = path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A privacy officer of the settings is nobody.
    #[error(
        "access.privacy_officers: {0} is not a user; add the user with `healthmate user add`, or take the id out"
    )]
    PrivacyOfficer(UserId),
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Read(healthmate_storage::Error),
    /// The start cannot be recorded in the audit trail.
    #[error("the audit trail cannot be written, and nothing is served that is not on record: {0}")]
    Audit(healthmate_storage::Error),
    /// A thread could not be started.
    #[error("cannot start a shard: {0}")]
    Shard(std::io::Error),
    /// It is not known which tokens were taken back.
    #[error("cannot read which tokens were taken back: {0}")]
    Revocations(healthmate_storage::Error),
}

/// A server that is listening.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    app: Arc<App>,
    tls: Option<Arc<Tls>>,
    shards: Vec<(Arc<ShardHandle>, oneshot::Receiver<()>)>,
    tasks: Vec<AbortHandle>,
}

impl Server {
    /// Listens and serves, with the store, clock and settings of `app`, until [`Server::stop`].
    ///
    /// # Errors
    /// If a privacy officer is unknown, the address cannot be listened on, the TLS files cannot be used, the store cannot
    /// be read, the start cannot be recorded, or a thread cannot be started.
    pub async fn start(app: Arc<App>) -> Result<Self, ServeError> {
        if let Some(unknown) = break_glass::unknown_officer(&app).await.map_err(ServeError::Read)? {
            return Err(ServeError::PrivacyOfficer(unknown));
        }
        let settings = &app.settings.server;
        let handles: Vec<Arc<ShardHandle>> =
            (0..shard_count(settings.shards)).map(|_| Arc::default()).collect();
        let ground = ground(&app, &handles)?;
        // Before the first connection.
        app.revocations.load(&*app.store, app.clock.now()).await.map_err(ServeError::Revocations)?;
        let address = settings.listen;
        let failed = |source| ServeError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        listener::prepare(&socket).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let listener = socket.into_std().map_err(failed)?;
        app.record_start().await.map_err(ServeError::Audit)?;

        let (heads, metrics) = (Arc::clone(&app.heads), Arc::clone(&app.metrics));
        app.store.set_commit_listener(publish::listener(handles.clone(), move |events| {
            heads.committed(events);
            metrics.events_published.inc_by(events.len() as u64);
            let told = events.iter().filter(|event| event.kind == EventKind::Notification).count();
            metrics.notifications_stored.inc_by(told as u64);
            metrics.commit_events.observe(events.len() as f64);
        }));
        let start = |(number, handle): (usize, &Arc<ShardHandle>)| {
            let end = shard::start(ground.clone(), Arc::clone(handle), number).map_err(ServeError::Shard)?;
            Ok((Arc::clone(handle), end))
        };
        let shards = handles.iter().enumerate().map(start).collect::<Result<_, ServeError>>()?;
        app.node.run(handles.clone(), Arc::clone(&ground.registry));
        let mut tasks = jobs::start(&app, &handles);
        tasks.extend(ground.tls.clone().map(|tls| tokio::spawn(tls::watch(tls)).abort_handle()));
        app.set_ready(true);
        handles[0].listen(Accepting { listener, shards: handles.clone() });
        Ok(Self { address, app, tls: ground.tls, shards, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the TLS files again, if they were replaced; otherwise it does so by itself within 30 s. Blocks.
    pub fn refresh_certificate(&self) {
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
    }

    /// Takes no more connections, tells those there are to come back after the restart, and waits until they have
    /// gone, at most for the grace time.
    pub async fn stop(self) {
        self.app.set_ready(false);
        for task in &self.tasks {
            task.abort();
        }
        for (handle, _) in &self.shards {
            handle.stop();
        }
        let ended = async {
            let mut whole = true;
            for (_, end) in self.shards {
                whole &= end.await.is_ok();
            }
            whole
        };
        let grace = Duration::from_secs(self.app.settings.server.shutdown_grace_s.into());
        let ended = tokio::time::timeout(grace, ended).await;
        self.app.record_left_out().await;
        if let Err(error) = self.app.sign_checkpoint(true).await {
            tracing::error!(%error, "the last checkpoint of the audit trail could not be signed");
        }
        match ended {
            Ok(true) => tracing::info!("stopped"),
            Ok(false) => tracing::error!("stopped; a shard had panicked"),
            Err(_) => tracing::warn!(grace_s = grace.as_secs(), "stopped with connections still open"),
        }
    }
}

/// What all shards stand on.
fn ground(app: &Arc<App>, shards: &[Arc<ShardHandle>]) -> Result<Ground, ServeError> {
    let (settings, limits) = (&app.settings.server, &app.settings.limits);
    let registry = Registry::new(limits.connections_per_user as usize, limits.replace_oldest);
    Ok(Ground {
        app: Arc::clone(app),
        router: http::router(Arc::clone(app)),
        tls: Tls::load(settings, &app.metrics)?,
        origins: Arc::new(OriginPolicy::same_and(&settings.allowed_origins)?),
        places: Arc::new(Semaphore::new(limits.max_connections as usize)),
        registry: Arc::new(registry),
        gate: Arc::new(Gate::new(limits)),
        opening: Arc::default(),
        shards: shards.into(),
    })
}

/// One shard a core, unless the settings say otherwise.
fn shard_count(configured: u32) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count as usize,
    }
}

/// Opens the store, serves until `shutdown` completes, and stops. `on_ready` is told the address once connections
/// are taken.
///
/// # Errors
/// If the store, the key or the address cannot be had. Once it listens, nothing ends it but `shutdown`.
pub async fn serve(
    settings: Settings,
    clock: Arc<dyn Clock>,
    on_ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let options = Options {
        max_group_rows: settings.storage.max_group as usize,
        exclusive: true,
        keys: Some(settings.key_source()),
        ..Options::default()
    };
    let store = SqliteStore::open(&settings.server.data, &options, Arc::clone(&clock))?;
    let key = secret::load_or_create(&settings, &*clock)?;
    let verifier = TokenVerifier::with_issuers(&settings.auth, &key)?;
    let signing = audit_key::load_or_create(&settings, &*clock)?;
    tracing::info!(key = signing.public(), "audit.key");
    let app = Arc::new(App::new(settings, store.clone(), clock, verifier).signing(signing));
    let server = Server::start(app).await?;
    tracing::info!(listen = %server.address(), "ready");
    on_ready(server.address());
    shutdown.await;
    tracing::info!("stopping");
    server.stop().await;
    // The listener would keep the shards' handles; the store is closed with its last owner.
    store.set_commit_listener(Arc::new(|_| {}));
    drop(store);
    Ok(())
}
