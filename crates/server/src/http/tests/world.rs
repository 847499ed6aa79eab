//! A world to test routes in: a store in memory, a clock that stands, users of every kind.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Request};
use healthmate_care::{AuditAction, AuditRecord, By, CareRelation, ManualClock, Role, User};
use healthmate_protocol::UserId;
use healthmate_storage::memory::MemoryStore;
use healthmate_storage::{Directory, Store};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::app::App;
use crate::auth::TokenVerifier;
use crate::config::{AccessSettings, Secret, Settings};
use crate::http::router;
use crate::http::tests::failing::{Failing, FailingStore};
use crate::http::tests::markers;

pub(crate) const NOW: &str = "2026-11-23T07:00:00Z";

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<ManualClock>,
    router: Router,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        assert_eq!(self.json()["status"], self.status);
        self.json()["code"].as_str().expect("a code").to_owned()
    }
}

pub(crate) fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

fn by() -> By {
    By::command_line(NOW.parse().expect("valid"))
}

/// `ada` and `bob` are patients; `ring` is ada's device; `nora` is in ada's care team, `dora` in nobody's; `root` is
/// an administrator in ada's care team, `gone` a disabled nurse there; `past` was in it until now.
async fn furnish(store: &MemoryStore) {
    let users = [
        ("ada", Role::Patient, "Ada Lovelace", None, true),
        ("bob", Role::Patient, "Bob", None, true),
        ("ring", Role::Device, "Ada's ring", Some("ada"), true),
        ("nora", Role::Nurse, "Nora", None, true),
        ("dora", Role::Doctor, "Dora", None, true),
        ("root", Role::Admin, "Root", None, true),
        ("gone", Role::Nurse, "Gone", None, false),
        ("past", Role::Caregiver, "Past", None, true),
        ("demo-nurse", Role::Nurse, "Dana Demo", None, true),
    ];
    for (user, role, name, device_of, active) in users {
        let user = User { id: id(user), role, name: name.to_owned(), device_of: device_of.map(id), active };
        store.add_user(user, by()).await.expect("added");
    }
    for member in ["nora", "root", "gone", "past"] {
        let starts_at = "2026-01-01T00:00:00Z".parse().expect("valid");
        let ends_at = (member == "past").then(|| NOW.parse().expect("valid"));
        let relation = CareRelation { ends_at, ..CareRelation::new(id("ada"), id(member), starts_at) };
        store.add_care_relation(relation, by()).await.expect("added");
    }
}

impl World {
    /// Who looked at `object` of the patient, with outcome and reason, in order; nothing else was looked at.
    pub(crate) async fn looks(&self, object: &str, patient: &str) -> Vec<String> {
        let trail = self.app.store.audit_after(0, 1000).await.expect("read");
        let looks =
            trail.iter().map(|entry| &entry.record).filter(|record| record.action == AuditAction::Read);
        let line = |record: &AuditRecord| {
            let of = record.patient.as_ref().map(UserId::as_str);
            assert_eq!((record.object.as_deref(), of), (Some(object), Some(patient)));
            let (who, reason) = (record.by.actor.user().expect("a user"), record.reason.as_deref());
            format!("{who} {} {}", record.outcome, reason.unwrap_or_default())
        };
        looks.map(line).collect()
    }

    pub(crate) async fn new() -> Self {
        Self::build(Settings::default(), None).await
    }

    pub(crate) async fn demo() -> Self {
        Self::build(Settings { demo: true, ..Settings::default() }, None).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::build(settings, None).await
    }

    /// With these settings of `[access]`.
    pub(crate) async fn with_access(adjust: impl FnOnce(&mut AccessSettings)) -> Self {
        let mut settings = Settings::default();
        adjust(&mut settings.access);
        Self::build(settings, None).await
    }

    pub(crate) async fn failing(failing: Failing) -> Self {
        Self::build(Settings::default(), Some(failing)).await
    }

    /// With a store that fails, and these settings.
    pub(crate) async fn failing_with(settings: Settings, failing: Failing) -> Self {
        Self::build(settings, Some(failing)).await
    }

    async fn build(settings: Settings, failing: Option<Failing>) -> Self {
        markers::capture();
        let clock = Arc::new(ManualClock::new(NOW.parse().expect("valid")));
        let memory = MemoryStore::new(clock.clone());
        furnish(&memory).await;
        let store: Arc<dyn Store> = match failing {
            None => Arc::new(memory),
            Some(failing) => Arc::new(FailingStore { inner: memory, failing }),
        };
        let verifier = TokenVerifier::with_issuers(
            &settings.auth,
            &Secret::new("a secret for tests, of 32 bytes or more"),
        )
        .expect("issuers with keys");
        let app = Arc::new(App::new(settings, store, clock.clone(), verifier));
        app.set_ready(true);
        let router = router(app.clone());
        Self { app, clock, router }
    }

    /// A token of `user`, good for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        let now = healthmate_care::Clock::now(self.clock.as_ref());
        self.app.verifier.issue(&id(user), 3600, now)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("whole").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str, user: Option<&str>) -> Reply {
        match user {
            Some(user) => self.get_with_token(path, &self.token(user)).await,
            None => self.get_from_host(path, "localhost:8080").await,
        }
    }

    pub(crate) async fn get_from_host(&self, path: &str, host: &str) -> Reply {
        self.get_with(path, &[(HOST.as_str(), host)]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request =
            headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::empty()).expect("valid")).await
    }

    pub(crate) async fn get_with_token(&self, path: &str, token: &str) -> Reply {
        self.get_with(path, &[(AUTHORIZATION.as_str(), &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn post(&self, user: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let request = Request::post("/v1/measurements")
            .header(AUTHORIZATION, format!("Bearer {}", self.token(user)))
            .header(CONTENT_TYPE, "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(body.into()).expect("valid")).await
    }
}
