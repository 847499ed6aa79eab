//! A server for one test, on a free port, with a store in memory or in a temporary folder.

use std::net::SocketAddr;
use std::sync::Arc;

use healthmate_care::{By, CareRelation, Clock, Role, SystemClock, User};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_server::Server;
use healthmate_server::app::App;
use healthmate_server::auth::TokenVerifier;
use healthmate_server::config::{Secret, Settings};
use healthmate_storage::Store;
use healthmate_storage::memory::MemoryStore;
use healthmate_storage_sqlite::{Options, SqliteStore};

use crate::client::Client;

const SECRET: &str = "a secret for tests that is long enough for HS256";

/// A running server with patients `ana` and `ben`, their devices, and nurse `nora` in the care team of `ana`.
pub(crate) struct TestServer {
    server: Server,
    pub(crate) app: Arc<App>,
    folder: Option<tempfile::TempDir>,
}

/// Which store to test over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoreKind {
    Memory,
    Sqlite,
}

pub(crate) fn id(text: &str) -> UserId {
    UserId::new(text).expect("a valid id")
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(StoreKind::Memory, |_| {}).await
    }

    pub(crate) async fn start_with(kind: StoreKind, adjust: impl FnOnce(&mut Settings)) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (store, folder): (Arc<dyn Store>, _) = match kind {
            StoreKind::Memory => (Arc::new(MemoryStore::new(Arc::clone(&clock))), None),
            StoreKind::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let store = SqliteStore::open(folder.path(), &Options::default(), Arc::clone(&clock));
                (store.expect("a new store"), Some(folder))
            }
        };
        populate(&*store, &*clock).await;
        let mut settings = Settings::default();
        settings.server.listen = "127.0.0.1:0".parse().expect("an address");
        settings.server.shards = 2;
        // Tests that are not about it send as fast as they can.
        settings.limits.commands_per_second = 1_000_000;
        adjust(&mut settings);
        let verifier =
            TokenVerifier::with_issuers(&settings.auth, &Secret::new(SECRET)).expect("issuers with keys");
        let app = Arc::new(App::new(settings, store, clock, verifier));
        let server = Server::start(Arc::clone(&app)).await.expect("the server starts");
        Self { server, app, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address())
    }

    /// A token for a user, good for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        self.app.verifier.issue(&id(user), 3600, self.app.clock.now())
    }

    /// A connection that is signed in.
    pub(crate) async fn connect(&self, user: &str) -> Client {
        let mut client = Client::open(&self.url("/ws/combined")).await;
        client.sign_in(&self.token(user)).await;
        client
    }

    pub(crate) fn refresh_certificate(&self) {
        self.server.refresh_certificate();
    }

    /// Runs SQL on the database behind the server's back.
    pub(crate) fn sql(&self, sql: &str) {
        let folder = self.folder.as_ref().expect("a store in a folder");
        let conn = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("a database");
        conn.execute_batch(sql).expect("done");
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// Who makes the tests' changes.
pub(crate) fn by() -> By {
    By::command_line(Timestamp::from_micros(0))
}

async fn populate(store: &dyn Store, clock: &dyn Clock) {
    let users = [
        ("ana", Role::Patient, None),
        ("ben", Role::Patient, None),
        ("watch-ana", Role::Device, Some("ana")),
        ("watch-ben", Role::Device, Some("ben")),
        ("nora", Role::Nurse, None),
        ("ada", Role::Admin, None),
    ];
    for (name, role, device_of) in users {
        let user =
            User { id: id(name), role, name: name.to_owned(), device_of: device_of.map(id), active: true };
        store.add_user(user, by()).await.expect("a new user");
    }
    let relation = CareRelation::new(id("ana"), id("nora"), clock.now().plus_millis(-1000));
    store.add_care_relation(relation, by()).await.expect("known users");
}
