//! Access that ends while somebody listens: whatever ends it, nothing more is heard a second later.

use std::time::Duration;

use healthmate_care::{CareRelation, Role, Scope, Scopes};
use healthmate_protocol::server::SubscriptionDenied;
use healthmate_protocol::{ErrorCode, ServerMessage};
use serde_json::json;
use tokio::time::timeout;

use crate::client::Client;
use crate::operators::ask;
use crate::recovery::{come_back, cut, watching};
use crate::server::{StoreKind, TestServer, by, id};

const KINDS: [StoreKind; 2] = [StoreKind::Memory, StoreKind::Sqlite];

/// What comes within a second.
async fn within_a_second(client: &mut Client) -> ServerMessage {
    timeout(Duration::from_secs(1), client.next()).await.expect("within a second")
}

/// The refusal that ends a subscription, within a second.
async fn denied(client: &mut Client) -> SubscriptionDenied {
    match within_a_second(client).await {
        ServerMessage::SubscriptionDenied(denied) => denied,
        other => panic!("access goes on: {}", other.name()),
    }
}

/// Nothing more of `ana` comes, neither live nor as history.
async fn hears_nothing_more(server: &TestServer, client: &mut Client) {
    server.connect("watch-ana").await.record([1, 2]).await;
    client.send(r#"{"type":"get_health_data","patient":"ana"}"#).await;
    let ServerMessage::Error(error) = client.next().await else { panic!("something is heard") };
    assert_eq!(error.code, ErrorCode::AccessDenied);
}

/// Nora's place in the care team of ana.
async fn place(server: &TestServer) -> CareRelation {
    let relation = server.app.store.care_relation(&id("ana"), &id("nora")).await;
    relation.expect("read").expect("there is one")
}

async fn grant(server: &TestServer, relation: CareRelation) {
    server.app.store.add_care_relation(relation, by()).await.expect("known users");
}

#[tokio::test]
async fn who_is_taken_out_hears_nothing_more() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut nora = server.connect("nora").await;
        nora.subscribe("health:ana", None).await;
        server.app.store.remove_care_relation(&id("ana"), &id("nora"), by()).await.expect("there was one");
        let denied = denied(&mut nora).await;
        assert_eq!(
            (denied.topic.as_str(), denied.code, denied.retry),
            ("health:ana", ErrorCode::AccessDenied, false)
        );
        assert_eq!(denied.reason.as_deref(), Some("not_in_care_team"));
        assert_eq!(denied.message, "you are not in this patient's care team");
        hears_nothing_more(&server, &mut nora).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn who_is_left_everything_but_vitals_hears_none() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut nora = server.connect("nora").await;
        nora.subscribe("health:ana", None).await;
        let whole = place(&server).await;
        let scopes = Scopes::ALL.without([Scope::Vitals].into_iter().collect());
        grant(&server, CareRelation { scopes, ..whole.clone() }).await;
        let denied = denied(&mut nora).await;
        assert_eq!(denied.reason.as_deref(), Some("scope_missing"));
        assert_eq!(denied.message, "your place in this patient's care team does not include vitals");
        hears_nothing_more(&server, &mut nora).await;
        // And with them again, at once.
        grant(&server, whole).await;
        nora.subscribe("health:ana", None).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_place_that_ends_by_its_time_ends_then() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut nora = server.connect("nora").await;
        let whole = place(&server).await;
        nora.subscribe("health:ana", None).await;
        // The subscription stood before it was known to end.
        let ends_at = server.app.clock.now().plus_millis(1_200);
        grant(&server, CareRelation { ends_at: Some(ends_at), ..whole }).await;
        let ServerMessage::SubscriptionDenied(denied) = nora.next().await else { panic!("access goes on") };
        let late = server.app.clock.now().millis_since(ends_at);
        assert!((0..1_000).contains(&late), "{late} ms after the end");
        assert_eq!(denied.reason.as_deref(), Some("ended"));
        assert_eq!(denied.message, "your place in this patient's care team has ended");
        hears_nothing_more(&server, &mut nora).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn another_role_counts_on_open_connections() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let store = &server.app.store;
        let mut nora = server.connect("nora").await;
        nora.subscribe("health:ana", None).await;
        store.set_role(&id("nora"), Role::Admin, by()).await.expect("a nurse may become one");
        assert_eq!(denied(&mut nora).await.reason.as_deref(), Some("administrator"));
        hears_nothing_more(&server, &mut nora).await;
        assert_eq!(
            ask(&server, Some("nora"), "GET", "/v1/patients/ana/presence").await.1["reason"],
            "administrator"
        );
        store.set_role(&id("nora"), Role::Doctor, by()).await.expect("and something else");
        // As soon as it is seen.
        let granted = async {
            loop {
                nora.send(r#"{"type":"subscribe","topic":"health:ana"}"#).await;
                match nora.next().await {
                    ServerMessage::SubscriptionSuccess(_) => break,
                    ServerMessage::SubscriptionDenied(_) => {}
                    other => panic!("{}", other.name()),
                }
            }
        };
        timeout(Duration::from_secs(1), granted).await.expect("within a second");
        server.stop().await;
    }
}

#[tokio::test]
async fn who_is_disabled_hears_nothing_more() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut nora = server.connect("nora").await;
        nora.subscribe("health:ana", None).await;
        server.app.store.set_active(&id("nora"), false, by()).await.expect("known");
        let ServerMessage::AuthenticationFailed(failed) = within_a_second(&mut nora).await else {
            panic!("nora stays")
        };
        assert_eq!(failed.code, ErrorCode::UserInactive);
        server.connect("watch-ana").await.record([1]).await;
        assert_eq!(nora.close_code().await, 4500);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_change_over_rest_counts_at_once() {
    let server = TestServer::start_with(StoreKind::Sqlite, |_| {}).await;
    let mut nora = server.connect("nora").await;
    nora.subscribe("health:ana", None).await;
    let (status, _) = ask(&server, Some("ana"), "DELETE", "/v1/patients/ana/care-team/nora").await;
    assert_eq!(status, 204);
    // Before the next look would come.
    let told = timeout(Duration::from_millis(400), nora.next()).await.expect("at once");
    assert!(matches!(told, ServerMessage::SubscriptionDenied(_)), "{told:?}");
    let trail = server.app.store.audit_after(0, 1000).await.expect("read");
    let record =
        &trail.iter().find(|entry| entry.record.action.as_str() == "access_ended").expect("recorded").record;
    assert_eq!(record.by.actor.user(), Some(&id("ana")));
    assert!(record.by.address.is_some_and(|address| address.is_loopback()));
    server.stop().await;
}

/// Requests for pages are always on their way: none is answered after the end was told.
#[tokio::test]
async fn no_page_of_history_comes_after_the_end() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        server.connect("watch-ana").await.record(0..100).await;
        let mut nora = server.connect("nora").await;
        nora.subscribe("health:ana", None).await;
        let page = r#"{"type":"get_health_data","patient":"ana","limit":100}"#;
        for _ in 0..4 {
            nora.send(page).await;
        }
        let whole = place(&server).await;
        server.app.store.remove_care_relation(&id("ana"), &id("nora"), by()).await.expect("there was one");
        let (mut ended, mut refused) = (false, 0);
        while !ended || refused < 4 {
            match within_a_second(&mut nora).await {
                ServerMessage::HealthDataResponse(_) if !ended => nora.send(page).await,
                ServerMessage::Error(error) => {
                    assert_eq!(error.code, ErrorCode::AccessDenied);
                    refused += 1;
                }
                ServerMessage::SubscriptionDenied(_) => ended = true,
                other => panic!("{} after the end", other.name()),
            }
        }
        grant(&server, whole).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_session_that_comes_back_hears_nothing_that_was_narrowed_away() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let (client, connection, session) = watching(&server, "").await;
        cut(&server, client, &connection).await;
        server.connect("watch-ana").await.record(0..3).await;
        let scopes = Scopes::ALL.without([Scope::Vitals].into_iter().collect());
        grant(&server, CareRelation { scopes, ..place(&server).await }).await;
        let (mut nora, resumed) = come_back(&server, "nora", &session, &json!({ "health:ana": 0 })).await;
        assert!(resumed);
        // At once: nothing of what was missed comes before.
        let denied = denied(&mut nora).await;
        assert_eq!(denied.reason.as_deref(), Some("scope_missing"));
        hears_nothing_more(&server, &mut nora).await;
        server.stop().await;
    }
}
