//! `GET /ws/status`: the live picture of this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_protocol::Epoch;
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use super::caller::Caller;
use crate::app::App;
use crate::config::LimitSettings;
use crate::node::{Reach, Recent, Sample};
use crate::telemetry::ConnectionState;

/// This node, now.
#[derive(Serialize, JsonSchema)]
pub(super) struct NodeStatus {
    /// Whether the server takes work.
    status: Service,
    /// The rest, for administrators.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    picture: Option<Picture>,
}

/// Whether the server takes work.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Service {
    /// It does.
    Ok,
    /// It begins, or has begun to stop.
    Stopping,
}

/// What administrators see of a node.
#[derive(Serialize, JsonSchema)]
struct Picture {
    /// Connections, by state.
    connections: ByState,
    /// Users who hold a connection.
    users_online: u64,
    /// Subscriptions, by kind of topic; a kind nobody hears is absent.
    subscriptions: BTreeMap<&'static str, u64>,
    /// What waits to be written to connections, in bytes.
    queued_bytes: u64,
    /// How much came a second, over the last minute.
    rates: Recent,
    /// The limits the server was started with.
    limits: LimitSettings,
    /// How long the server has run, in seconds.
    uptime_s: u64,
    /// The version of the server.
    version: &'static str,
    /// The incarnation of the store.
    epoch: Epoch,
}

/// Connections, by state.
#[derive(Serialize, JsonSchema)]
struct ByState {
    /// In a handshake, or speaking HTTP, as the one that asks.
    connecting: u64,
    /// Not authenticated yet.
    connected: u64,
    /// Somebody's.
    authenticated: u64,
    /// Lost: the session is kept, and its client may come back.
    error: u64,
}

/// Whether the server takes work; for administrators, also what it does.
#[utoipa::path(
    get, path = "/ws/status", operation_id = "getStatus", tag = "operation",
    responses(
        (status = 200, description = "The node. Callers who are no administrators get `status` alone.",
         body = ref("#/components/schemas/NodeStatus"), content_type = "application/json"),
        (status = 401, description = "`token_…` or `user_…`: a token was sent, and is refused."),
        (status = 503, description = "`internal` or `storage_unavailable`: send it again after `Retry-After`."),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
) -> Result<Json<NodeStatus>, Problem> {
    let status = if app.is_ready() { Service::Ok } else { Service::Stopping };
    let picture = match caller.as_ref().map(Caller::reach) {
        Some(Reach::Everyone) => Some(picture(&app).await?),
        _ => None,
    };
    Ok(Json(NodeStatus { status, picture }))
}

async fn picture(app: &App) -> Result<Picture, Problem> {
    let (metrics, node) = (&app.metrics, &app.node);
    let in_state = |state| u64::try_from(metrics.connections.of(state).get()).unwrap_or_default();
    Ok(Picture {
        connections: ByState {
            connecting: in_state(ConnectionState::Connecting),
            connected: in_state(ConnectionState::Connected),
            authenticated: in_state(ConnectionState::Authenticated),
            error: in_state(ConnectionState::Error),
        },
        users_online: node.users_online() as u64,
        subscriptions: node.subscriptions().await?,
        queued_bytes: u64::try_from(metrics.queued_bytes.get()).unwrap_or_default(),
        rates: node.rates.until(Sample::now(metrics)),
        limits: app.settings.limits.clone(),
        uptime_s: node.uptime().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        epoch: app.store.epoch(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::http::tests::World;

    #[tokio::test]
    async fn only_administrators_see_more_than_whether_it_is_up() {
        let world = World::new().await;
        for user in [None, Some("ada"), Some("ring"), Some("nora"), Some("dora")] {
            let reply = world.get("/ws/status", user).await;
            assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })), "{user:?}");
        }
        world.app.set_ready(false);
        assert_eq!(world.get("/ws/status", None).await.json(), json!({ "status": "stopping" }));
        // Who tries to sign in and fails is told so, and learns nothing else.
        let reply = world.get_with_token("/ws/status", "nonsense").await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "token_malformed"));
        assert_eq!(world.get("/ws/status", Some("gone")).await.code(), "user_inactive");
    }

    #[tokio::test(start_paused = true)]
    async fn administrators_see_the_node() {
        let world = World::new().await;
        let body = r#"{"metric":"heart_rate","value":72,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;
        assert_eq!(world.post("ada", &[], body).await.status, 201);
        tokio::time::advance(Duration::from_secs(4)).await;
        let mut status = world.get("/ws/status", Some("root")).await.json();
        let epoch = status["epoch"].take();
        assert!(epoch.as_str().is_some_and(|epoch| !epoch.is_empty()));
        assert_eq!(status["version"].take(), env!("CARGO_PKG_VERSION"));
        let limits = status["limits"].take();
        assert_eq!((&limits["max_connections"], &limits["connections_per_user"]), (&json!(1000), &json!(5)));
        insta::assert_snapshot!(status, @r#"{"connections":{"authenticated":0,"connected":0,"connecting":0,"error":0},"epoch":null,"limits":null,"queued_bytes":0,"rates":{"connections":0.0,"events":0.0,"measurements":0.25,"messages_in":0.0,"messages_out":0.0,"over_s":4.0},"status":"ok","subscriptions":{},"uptime_s":4,"users_online":0,"version":null}"#);
    }
}
