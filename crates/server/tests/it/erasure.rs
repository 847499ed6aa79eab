//! Erasing a patient while people are connected: whoever it was about is gone within a second, and so is what others heard.

use std::time::Duration;

use healthmate_protocol::{ErrorCode, ServerMessage};
use serde_json::json;
use tokio::time::timeout;

use crate::break_glass::ask;
use crate::client::Client;
use crate::operators;
use crate::server::{StoreKind, TestServer, by, id};

const KINDS: [StoreKind; 2] = [StoreKind::Memory, StoreKind::Sqlite];

/// How soon an erasure ends what is open.
const SOON: Duration = Duration::from_secs(1);

/// Ana, her watch and her nurse, each with what they hear of her.
struct Open {
    ana: Client,
    watch: Client,
    nora: Client,
}

impl Open {
    async fn new(server: &TestServer) -> Self {
        let mut ana = server.connect("ana").await;
        ana.subscribe("health:ana", None).await;
        ana.subscribe("notifications", None).await;
        let mut watch = server.connect("watch-ana").await;
        watch.record([1, 2]).await;
        assert_eq!(ana.offsets(2).await, [1, 2]);
        let mut nora = server.connect("nora").await;
        nora.subscribe("health:ana", None).await;
        nora.subscribe("notifications", None).await;
        Self { ana, watch, nora }
    }

    /// All of it ends within a second, counted from now.
    async fn ends(&mut self) {
        let all = async {
            for client in [&mut self.ana, &mut self.watch] {
                let ServerMessage::AuthenticationFailed(failed) = client.next().await else {
                    panic!("stays")
                };
                assert_eq!((failed.code, failed.retry), (ErrorCode::UserUnknown, false));
                assert_eq!(client.close_code().await, 4500);
            }
            let ServerMessage::SubscriptionDenied(denied) = self.nora.next().await else {
                panic!("nora goes on")
            };
            assert_eq!((denied.topic.as_str(), denied.code), ("health:ana", ErrorCode::AccessDenied));
            assert_eq!(denied.reason.as_deref(), Some("not_in_care_team"));
        };
        timeout(SOON, all).await.expect("within a second");
    }
}

/// Nobody finds the patient any more; what the nurse hears of others goes on.
async fn nothing_is_left(server: &TestServer, mut nora: Client) {
    nora.send(r#"{"type":"get_health_data","patient":"ana"}"#).await;
    let ServerMessage::Error(error) = nora.next().await else { panic!("something is read") };
    assert_eq!(error.code, ErrorCode::AccessDenied);
    nora.send(r#"{"type":"subscribe","topic":"health:ana"}"#).await;
    assert_eq!(nora.next().await.name(), "subscription_denied");
    for user in ["ana", "watch-ana"] {
        let mut again = Client::open(&server.url("/ws/combined")).await;
        again.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token(user))).await;
        let ServerMessage::AuthenticationFailed(failed) = again.next().await else { panic!("let in") };
        assert_eq!(failed.code, ErrorCode::UserUnknown);
    }
    let (_, page) = operators::ask(server, Some("ada"), "GET", "/ws/connections?state=authenticated").await;
    let users: Vec<_> =
        page["connections"].as_array().expect("a list").iter().map(|one| &one["user_id"]).collect();
    assert_eq!(json!(users), json!(["nora"]));
    let health = page["connections"][0]["subscription_count"].as_u64();
    assert_eq!(health, Some(1), "her notifications");
}

#[tokio::test]
async fn a_patient_who_is_erased_over_rest_is_gone_within_a_second() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut open = Open::new(&server).await;
        let body = r#"{"confirm":"ana"}"#;
        let erased = async {
            let (status, report) = ask(&server, "DELETE", "/v1/patients/ana", "ada", body).await;
            assert_eq!((status, &report["erased"]["user"]), (200, &json!(2)), "{report}");
        };
        tokio::join!(erased, open.ends());
        nothing_is_left(&server, open.nora).await;
        server.stop().await;
    }
}

/// As `healthmate erase` does it beside the server: it writes into the store, and no more.
#[tokio::test]
async fn a_patient_whom_another_process_erases_is_gone_within_a_second() {
    for kind in KINDS {
        let server = TestServer::start_with(kind, |_| {}).await;
        let mut open = Open::new(&server).await;
        let erased = async { server.app.store.erase(&id("ana"), by()).await.expect("known") };
        tokio::join!(erased, open.ends());
        nothing_is_left(&server, open.nora).await;
        server.stop().await;
    }
}
