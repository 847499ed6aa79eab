//! What the audit trail holds of what is done, over real sockets.

use healthmate_care::{AuditAction, AuditEntry};
use healthmate_protocol::{ErrorCode, ServerMessage};
use serde_json::json;

use crate::client::Client;
use crate::operators::{ask, connect};
use crate::server::{StoreKind, TestServer};

/// Who did what to what, with which outcome and why, from where: a line for each record of these actions.
async fn trail(server: &TestServer, actions: &[AuditAction]) -> Vec<String> {
    lines(server.app.store.audit_after(0, 1000).await.expect("a trail"), actions)
}

fn lines(entries: Vec<AuditEntry>, actions: &[AuditAction]) -> Vec<String> {
    let records = entries.into_iter().map(|entry| entry.record);
    let line = |record: healthmate_care::AuditRecord| {
        let who = record.by.actor.user().map_or(record.by.actor.kind().to_owned(), ToString::to_string);
        let fields = [
            Some(who),
            record.by.actor.role().map(|role| role.to_string()),
            Some(record.action.to_string()),
            record.object,
            record.patient.map(|patient| patient.to_string()),
            Some(record.outcome.to_string()),
            record.reason.map(std::borrow::Cow::into_owned),
            record.by.address.map(|address| address.to_string()),
        ];
        fields.map(|field| field.unwrap_or("-".to_owned())).join(" ")
    };
    records.filter(|record| actions.contains(&record.action)).map(line).collect()
}

#[tokio::test]
async fn what_operators_do_is_on_record_before_it_is_done() {
    let server = TestServer::start().await;
    let (mut ana, id) = connect(&server, "ana").await;
    let path = format!("/ws/connection/{id}");
    for (user, method, path) in [
        ("ada", "GET", "/ws/connections".to_owned()),
        ("ada", "GET", "/ws/connections?user=ana".to_owned()),
        ("ana", "GET", "/ws/connections".to_owned()),
        ("ada", "GET", format!("{path}/health")),
        ("ana", "GET", format!("{path}/health")),
        ("ada", "POST", "/ws/user/ben/reconnect".to_owned()),
        ("ada", "DELETE", path.clone()),
    ] {
        let (status, answer) = ask(&server, Some(user), method, &path).await;
        assert!(status < 300, "{method} {path}: {answer}");
    }
    assert_eq!(ana.close_code().await, 4504);
    let found = trail(&server, &[AuditAction::Administered]).await;
    let expected = [
        "connection:*".to_owned(),
        "user:ana".to_owned(),
        format!("connection:{id}"),
        "user:ben".to_owned(),
        format!("connection:{id}"),
    ];
    let line = |object: String| format!("ada admin administered {object} - success - 127.0.0.1");
    assert_eq!(json!(found), json!(expected.map(line)));
    server.stop().await;
}

const PEOPLE: &[AuditAction] = &[
    AuditAction::SignIn,
    AuditAction::Connect,
    AuditAction::Subscribe,
    AuditAction::Read,
    AuditAction::Write,
];

#[tokio::test]
async fn what_a_connection_hears_reads_and_writes_is_on_record() {
    let server = TestServer::start_with(StoreKind::Sqlite, |_| {}).await;
    let (mut nora, id) = connect(&server, "nora").await;
    nora.subscribe("health:ana", None).await;
    let mut expected = vec![
        format!("nora nurse connect connection:{id} - success - 127.0.0.1"),
        "nora nurse subscribe health:ana ana success care_team 127.0.0.1".to_owned(),
    ];
    assert_eq!(trail(&server, PEOPLE).await, expected, "before the answer");
    for (asked, answer) in [
        (r#"{"type":"subscribe","topic":"health:ben"}"#, "subscription_denied"),
        (r#"{"type":"get_health_data","patient":"ana"}"#, "health_data_response"),
        (r#"{"type":"get_health_data","patient":"ana","metric":"heart_rate"}"#, "health_data_response"),
        (r#"{"type":"get_health_data","patient":"ben"}"#, "error"),
        (r#"{"type":"get_presence","topic":"health:ana"}"#, "presence_response"),
    ] {
        nora.send(asked).await;
        assert_eq!(nora.next().await.name(), answer, "{asked}");
    }
    let data = crate::client::measurement(1);
    nora.send(&format!(r#"{{"type":"health_update","patient":"ana","data":{data}}}"#)).await;
    assert_eq!(nora.next().await.name(), "error");
    // Refusals do not wait for their records: this answer does, and comes after them.
    nora.subscribe("health:ana", None).await;
    expected.extend(
        [
            "subscribe health:ben ben denied not_in_care_team",
            "read measurements ana success care_team",
            "read measurements:heart_rate ana success care_team",
            "read measurements ben denied not_in_care_team",
            "read presence ana success care_team",
            "write measurements ana denied not_the_writer",
            "subscribe health:ana ana success care_team",
        ]
        .map(|what| format!("nora nurse {what} 127.0.0.1")),
    );
    assert_eq!(trail(&server, PEOPLE).await, expected);
    server.stop().await;
}

#[tokio::test]
async fn the_first_write_of_a_connection_is_recorded_and_events_are_not() {
    let server = TestServer::start_with(StoreKind::Sqlite, |_| {}).await;
    let (mut nora, _) = connect(&server, "nora").await;
    nora.subscribe("health:ana", None).await;
    let (mut watch, _) = connect(&server, "watch-ana").await;
    for _ in 0..5 {
        watch.record(0..20).await;
    }
    nora.offsets(100).await;
    let writes = trail(&server, &[AuditAction::Write]).await;
    assert_eq!(writes, ["watch-ana device write measurements ana success - 127.0.0.1"]);
    assert_eq!(trail(&server, &[AuditAction::Read]).await, Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn refused_tokens_are_recorded_until_there_are_too_many() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.audit.refusals_per_minute_each = 2;
    })
    .await;
    for _ in 0..2 {
        let mut client = Client::open(&server.url("/ws/health")).await;
        client.send(r#"{"type":"authenticate","token":"nonsense"}"#).await;
        assert_eq!(client.close_code().await, 4500);
        assert_eq!(ask(&server, Some("nobody"), "GET", "/v1/me").await.0, 401);
    }
    let app = std::sync::Arc::clone(&server.app);
    server.stop().await;
    let entries = app.store.audit_after(0, 1000).await.expect("a trail");
    let mut lines: Vec<_> = lines(entries, &[AuditAction::SignIn, AuditAction::RefusalsLeftOut]);
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "anonymous - sign_in - - denied token_malformed 127.0.0.1",
            "anonymous - sign_in - - denied user_unknown 127.0.0.1",
            "server - refusals_left_out refusals:2 - success - -",
        ]
    );
}

/// What must be recorded and cannot be is refused, and the client is told to try again.
#[tokio::test]
async fn nothing_is_shown_that_cannot_be_recorded() {
    let server = TestServer::start_with(StoreKind::Sqlite, |_| {}).await;
    let (mut nora, _) = connect(&server, "nora").await;
    nora.subscribe("health:ana", None).await;
    server.sql("ALTER TABLE audit RENAME TO elsewhere");
    nora.send(r#"{"type":"subscribe","topic":"health:ana"}"#).await;
    let ServerMessage::SubscriptionDenied(denied) = nora.next().await else { panic!("not denied") };
    assert_eq!((denied.code, denied.retry), (ErrorCode::StorageUnavailable, true));
    for asked in ["get_health_data\",\"patient\":\"ana", "get_presence\",\"topic\":\"health:ana"] {
        nora.send(&format!(r#"{{"type":"{asked}"}}"#)).await;
        let ServerMessage::Error(error) = nora.next().await else { panic!("not refused: {asked}") };
        assert_eq!((error.code, error.retry), (ErrorCode::StorageUnavailable, true), "{asked}");
    }
    for path in ["/v1/patients/ana/measurements", "/v1/patients/ana/presence"] {
        assert_eq!(ask(&server, Some("nora"), "GET", path).await.0, 503, "{path}");
    }
    assert_eq!(ask(&server, Some("ada"), "GET", "/ws/connections").await.0, 503);
    // A write goes with its record; a connection that is not on record does not last.
    let mut ana = Client::open(&server.url("/ws/health")).await;
    ana.sign_in(&server.token("ana")).await;
    assert_eq!(ana.close_code().await, 4003);
    server.sql("ALTER TABLE elsewhere RENAME TO audit");
    nora.subscribe("health:ana", None).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_is_recorded_as_refused() {
    let server = TestServer::start_with(StoreKind::Sqlite, |settings| {
        settings.limits.connections_per_user = 1;
    })
    .await;
    let (_held, first) = connect(&server, "ana").await;
    let mut second = Client::try_open(&server.url("/ws/combined"), &[]).await.expect("accepted");
    let ServerMessage::ConnectionEstablished(established) = second.next().await else {
        panic!("no greeting")
    };
    second.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
    let ServerMessage::AuthenticationFailed(failed) = second.next().await else { panic!("let in") };
    assert_eq!(failed.code, ErrorCode::TooManyConnections);
    let refused = established.connection_id;
    let app = std::sync::Arc::clone(&server.app);
    server.stop().await;
    let found = lines(app.store.audit_after(0, 1000).await.expect("a trail"), &[AuditAction::Connect]);
    let expected = [
        format!("ana patient connect connection:{first} - success - 127.0.0.1"),
        format!("ana patient connect connection:{refused} - denied too_many_connections 127.0.0.1"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_start_is_recorded_with_a_digest_of_the_settings() {
    let server = TestServer::start().await;
    let started = trail(&server, &[AuditAction::ServerStarted]).await;
    let [line] = started.as_slice() else { panic!("{started:?}") };
    let digest = line.strip_prefix("server - server_started configuration:sha256:").expect(line);
    assert_eq!(digest.split(' ').next().expect("a digest").len(), 64);
    server.stop().await;
}
