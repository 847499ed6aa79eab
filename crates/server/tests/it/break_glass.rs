//! Opening a patient in an emergency: who hears of it, and how it ends on open connections.

use healthmate_care::{AuditAction, AuditOutcome, BreakGlass, By, CareRelation, Role, User};
use healthmate_protocol::{ErrorCode, ServerMessage};
use healthmate_server::ServeError;
use healthmate_server::Server;
use healthmate_storage::{Opened, Opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::server::{StoreKind, TestServer, by, id};

/// Sends a request and gives back status and body.
pub(crate) async fn ask(
    server: &TestServer,
    method: &str,
    path: &str,
    user: &str,
    body: &str,
) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    let (token, length) = (server.token(user), body.len());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_default())
}

async fn with_doctor(kind: StoreKind) -> TestServer {
    let server = TestServer::start_with(kind, |_| {}).await;
    let doctor =
        User { id: id("dora"), role: Role::Doctor, name: "Dora".into(), device_of: None, active: true };
    server.app.store.add_user(doctor, by()).await.expect("new");
    server
}

async fn open(server: &TestServer) -> String {
    let body = r#"{"reason":"found unconscious at home","duration_minutes":5}"#;
    let (status, access) = ask(server, "POST", "/v1/patients/ben/break-glass", "dora", body).await;
    assert_eq!(status, 201, "{access}");
    access["id"].as_str().expect("an id").to_owned()
}

async fn denied(client: &mut Client) -> (String, ErrorCode, String) {
    loop {
        match client.next().await {
            ServerMessage::SubscriptionDenied(denied) => return (denied.topic, denied.code, denied.message),
            ServerMessage::HealthUpdate(_) => {}
            other => panic!("access went on: {other:?}"),
        }
    }
}

#[tokio::test]
async fn everybody_concerned_hears_at_once_and_access_goes_dark_when_it_is_ended() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = with_doctor(kind).await;
        let mut told = Vec::new();
        for user in ["ben", "ada"] {
            let mut client = server.connect(user).await;
            client.subscribe("notifications", None).await;
            told.push(client);
        }
        let mut dora = server.connect("dora").await;
        dora.send(r#"{"type":"subscribe","topic":"health:ben"}"#).await;
        assert_eq!(denied(&mut dora).await.1, ErrorCode::AccessDenied);
        let access = open(&server).await;
        for client in &mut told {
            let ServerMessage::Notification(notification) = client.next().await else { panic!("not told") };
            assert!(
                notification.body.contains("dora") && notification.body.contains("found unconscious at home")
            );
        }
        dora.subscribe("health:ben", None).await;
        server.connect("watch-ben").await.record([1]).await;
        assert_eq!(dora.offsets(1).await, [1]);
        let (status, _) =
            ask(&server, "DELETE", &format!("/v1/patients/ben/break-glass/{access}"), "ben", "").await;
        assert_eq!(status, 204);
        let ended = (
            "health:ben".to_owned(),
            ErrorCode::AccessDenied,
            "your emergency access to this patient has ended".to_owned(),
        );
        assert_eq!(denied(&mut dora).await, ended);
        server.connect("watch-ben").await.record([1]).await;
        dora.send(r#"{"type":"ping"}"#).await;
        assert_eq!(dora.next().await.name(), "pong", "and no event before it");
        server.stop().await;
    }
}

/// It ends on the connection by its own time, and the job puts that on record once.
#[tokio::test]
async fn access_goes_dark_by_itself() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = with_doctor(kind).await;
        let starts_at = server.app.clock.now();
        let access = BreakGlass {
            id: server.app.clock.uuid(),
            patient: id("ben"),
            member: id("dora"),
            starts_at,
            ends_at: starts_at.plus_millis(1500),
        };
        let opening = Opening {
            access: access.clone(),
            reason: "a short one".to_owned(),
            notifications: Vec::new(),
            at_once: 1,
            per_day: 1,
            day_began: starts_at,
        };
        let opened = server.app.store.break_glass(opening, By { at: starts_at, ..by() }).await;
        assert_eq!(opened, Ok(Opened::Yes));
        let mut dora = server.connect("dora").await;
        dora.subscribe("health:ben", None).await;
        assert_eq!(denied(&mut dora).await.2, "your emergency access to this patient has ended");
        let late = server.app.clock.now().millis_since(access.ends_at);
        assert!((0..1000).contains(&late), "{late} ms after its end");
        let ends = async || {
            let trail = server.app.store.audit_after(0, 1000).await.expect("read");
            trail.into_iter().filter(|entry| entry.record.action == AuditAction::BreakGlassEnded).count()
        };
        while ends().await == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            server.app.store.record_ended_break_glasses(server.app.clock.now(), 10).await,
            Ok(Vec::new())
        );
        assert_eq!(ends().await, 1);
        server.stop().await;
    }
}

/// What dora heard and read, in order: what, of whom, how it ended, and whether it is marked as done under `access`. What
/// was decided again, because access changed meanwhile, is there once.
async fn looks(server: &TestServer, access: &str) -> Vec<String> {
    let trail = server.app.store.audit_after(0, 1000).await.expect("read");
    let records = trail.into_iter().map(|entry| entry.record);
    let looks = records.filter(|record| matches!(record.action, AuditAction::Subscribe | AuditAction::Read));
    let line = |record: healthmate_care::AuditRecord| {
        let under = record.by.break_glass.map(|id| id.to_string());
        let mark = match under.as_deref() {
            Some(id) if id == access => " marked",
            Some(_) => " marked otherwise",
            None => "",
        };
        let done = record.outcome == AuditOutcome::Success;
        let patient = record.patient.map(|patient| patient.to_string()).unwrap_or_default();
        format!("{} {patient}{}{mark}", record.action, if done { "" } else { " denied" })
    };
    let mut lines: Vec<_> = looks.map(line).collect();
    lines.dedup_by(|next, line| next == line && line.starts_with("subscribe"));
    lines
}

/// The trail marks what was done under the access, by whatever road, and nothing before it, after it, or beside it.
#[tokio::test]
async fn what_is_done_under_the_access_is_marked_and_nothing_else() {
    for kind in [StoreKind::Memory, StoreKind::Sqlite] {
        let server = with_doctor(kind).await;
        let relation = CareRelation::new(id("ana"), id("dora"), server.app.clock.now());
        server.app.store.add_care_relation(relation, by()).await.expect("known");
        let mut dora = server.connect("dora").await;
        dora.send(r#"{"type":"subscribe","topic":"health:ben"}"#).await;
        assert_eq!(dora.next().await.name(), "subscription_denied");
        let access = open(&server).await;
        dora.subscribe("health:ben", None).await;
        // The one who is in the care team reads another patient without it, on the same connection.
        for patient in ["ben", "ana"] {
            dora.send(&format!(r#"{{"type":"get_health_data","patient":"{patient}"}}"#)).await;
            assert_eq!(dora.next().await.name(), "health_data_response");
            dora.send(&format!(r#"{{"type":"get_presence","topic":"health:{patient}"}}"#)).await;
            assert_eq!(dora.next().await.name(), "presence_response");
            for of in ["measurements", "presence"] {
                let path = format!("/v1/patients/{patient}/{of}");
                assert_eq!(ask(&server, "GET", &path, "dora", "").await.0, 200, "{path}");
            }
        }
        // It opens reading, and nothing to others.
        assert_eq!(ask(&server, "GET", "/v1/patients/ben/measurements", "nora", "").await.0, 403);
        let path = format!("/v1/patients/ben/break-glass/{access}");
        assert_eq!(ask(&server, "DELETE", &path, "dora", "").await.0, 204);
        assert_eq!(denied(&mut dora).await.0, "health:ben");
        dora.send(r#"{"type":"get_health_data","patient":"ben"}"#).await;
        assert_eq!(dora.next().await.name(), "error");
        // Refusals do not wait for their records: this answer does, and comes after them.
        dora.subscribe("health:ana", None).await;
        let mut expected = vec!["subscribe ben denied", "subscribe ben marked"];
        expected.extend(["read ben marked"; 4]);
        expected.extend(["read ana"; 4]);
        expected.extend(["read ben denied", "read ben denied", "subscribe ana"]);
        assert_eq!(looks(&server, &access).await, expected);
        server.stop().await;
    }
}

/// Whoever loses their place in the care team while an emergency access holds goes on hearing under that: from then on, or
/// from when it is known that it will be so, the trail says it, once.
#[tokio::test]
async fn what_goes_on_under_the_access_is_on_record() {
    for ends_by_itself in [false, true] {
        let server = with_doctor(StoreKind::Sqlite).await;
        let now = server.app.clock.now();
        let ends_at = ends_by_itself.then(|| now.plus_millis(60_000));
        let relation = CareRelation { ends_at, ..CareRelation::new(id("ben"), id("dora"), now) };
        server.app.store.add_care_relation(relation, by()).await.expect("known");
        let mut dora = server.connect("dora").await;
        dora.subscribe("health:ben", None).await;
        let access = open(&server).await;
        if !ends_by_itself {
            server.app.store.remove_care_relation(&id("ben"), &id("dora"), by()).await.expect("known");
        }
        while looks(&server, &access).await.len() < 2 {
            tokio::task::yield_now().await;
        }
        // Something changes once more, and is no news of this.
        server.app.store.set_active(&id("ana"), false, by()).await.expect("known");
        server.connect("watch-ben").await.record([1]).await;
        assert_eq!(dora.offsets(1).await, [1]);
        assert_eq!(looks(&server, &access).await, ["subscribe ben", "subscribe ben marked"]);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_privacy_officer_who_is_nobody_stops_the_start() {
    let server = TestServer::start().await;
    let mut settings = (*server.app.settings).clone();
    settings.access.privacy_officers = vec![id("ada"), id("nobody")];
    let verifier = healthmate_server::auth::TokenVerifier::new(
        &settings.auth,
        &healthmate_server::config::Secret::new("a secret for tests that is long enough for HS256"),
    );
    let (store, clock) = (server.app.store.clone(), server.app.clock.clone());
    let app = std::sync::Arc::new(healthmate_server::app::App::new(settings, store, clock, verifier));
    let error = Server::start(app).await.expect_err("refused");
    assert!(matches!(&error, ServeError::PrivacyOfficer(user) if user.as_str() == "nobody"), "{error}");
    server.stop().await;
}
