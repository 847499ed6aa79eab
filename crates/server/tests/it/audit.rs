//! What the audit trail holds of what is done, over real sockets.

use healthmate_care::AuditAction;
use serde_json::json;

use crate::operators::{ask, connect};
use crate::server::TestServer;

/// Who did what to what, with which outcome and why, from where: a line for each record of these actions.
async fn trail(server: &TestServer, actions: &[AuditAction]) -> Vec<String> {
    let entries = server.app.store.audit_after(0, 1000).await.expect("a trail");
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
