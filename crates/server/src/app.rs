//! What every connection, route and task of one server shares.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use healthmate_care::Clock;
use healthmate_care::audit::CheckpointKey;
use healthmate_storage::Store;
use tokio::sync::Notify;

use crate::audit::Refusals;
use crate::auth::TokenVerifier;
use crate::auth::api_tokens::ApiTokens;
use crate::auth::passkey::RelyingParty;
use crate::auth::password::Passwords;
use crate::auth::revocations::Revocations;
use crate::auth::throttle::Throttle;
use crate::config::Settings;
use crate::heads::Heads;
use crate::node::Node;
use crate::people::People;
use crate::presence::PresenceBook;
use crate::telemetry::Metrics;

/// One server: its settings, store, clock, token verifier and metrics.
pub struct App {
    /// The settings it was started with.
    pub settings: Arc<Settings>,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where time and chance come from.
    pub clock: Arc<dyn Clock>,
    /// Who may come in.
    pub verifier: TokenVerifier,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Who the server is to passkeys; `None`: nobody signs in with one.
    pub(crate) passkeys: Option<RelyingParty>,
    /// What signs checkpoints of the audit trail; `None`: nothing does.
    pub checkpoint_key: Option<CheckpointKey>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the server takes work: false while it starts and once it begins to stop. `/readyz` says so.
    pub ready: AtomicBool,
    /// How far the logs of topics reach.
    pub(crate) heads: Arc<Heads>,
    /// Who was let in lately.
    pub(crate) people: People,
    /// Which API tokens were used lately.
    pub(crate) api_tokens: ApiTokens,
    /// What was taken back before its end.
    pub(crate) revocations: Revocations,
    /// Who tries to sign in.
    pub(crate) throttle: Throttle,
    /// Which refusals are recorded.
    pub(crate) refusals: Refusals,
    /// Access was changed through this server: it is looked at, and decided again, at once.
    access: Notify,
    /// Whether somebody could not decide access again, because the store could not be read.
    undecided: AtomicBool,
    /// Its shards, for those who run it.
    pub(crate) node: Node,
    /// Who is connected, and who watches what.
    pub(crate) presence: PresenceBook,
}

impl App {
    /// A server that is not ready yet.
    pub fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        verifier: TokenVerifier,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let grace = Duration::from_secs(settings.limits.presence_grace_s.into());
        Self {
            node: Node::new(settings.sessions.lost(), Arc::clone(&metrics)),
            passwords: Passwords::new(&settings.sign_in, Arc::clone(&clock)),
            passkeys: RelyingParty::new(&settings, &*clock),
            throttle: Throttle::new(&settings.sign_in),
            refusals: Refusals::new(&settings.audit),
            settings: Arc::new(settings),
            store,
            clock,
            verifier,
            checkpoint_key: None,
            metrics,
            ready: AtomicBool::new(false),
            access: Notify::new(),
            undecided: AtomicBool::new(false),
            heads: Arc::new(Heads::new()),
            people: People::new(),
            api_tokens: ApiTokens::new(),
            revocations: Revocations::default(),
            presence: PresenceBook::new(grace),
        }
    }

    /// Users or care teams were changed through this server: open connections are told at once, not at the next look.
    pub(crate) fn access_changed(&self) {
        self.access.notify_one();
    }

    /// Waits until users or care teams were changed through this server.
    pub(crate) async fn access_change(&self) {
        self.access.notified().await;
    }

    /// Access could not be decided again on an open connection: it is at the next look at users and care teams, whether
    /// they have changed or not.
    pub(crate) fn access_undecided(&self) {
        self.undecided.store(true, Ordering::Release);
    }

    /// Whether access could not be decided again since this was asked last.
    pub(crate) fn take_undecided(&self) -> bool {
        self.undecided.swap(false, Ordering::AcqRel)
    }

    /// The same server, which signs checkpoints of its audit trail.
    #[must_use]
    pub fn signing(self, key: CheckpointKey) -> Self {
        Self { checkpoint_key: Some(key), ..self }
    }

    /// Says whether the server takes work from now on.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether the server takes work.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
