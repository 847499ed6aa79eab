//! `POST /ws/user/{id}/reconnect`: asks a user's clients to come back.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use healthmate_protocol::{ErrorCode, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use super::caller::Caller;
use crate::app::App;
use crate::node::Asked;

/// What happened to each of a user's connections.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReconnectResult {
    /// The user.
    user_id: UserId,
    /// The connections: lost ones, then the others, the oldest first.
    connections: Vec<Asked>,
}

/// Asks each of a user's connections to come back: it is told `reconnect` with a delay of its own, and closed with
/// 4000. Sessions in `error` are kept for another window. Anyone's for administrators, one's own for others.
#[utoipa::path(
    post, path = "/ws/user/{id}/reconnect", operation_id = "reconnectUser", tag = "operation",
    params(("id" = String, Path, description = "The user.")),
    responses(
        (status = 200, description = "What happened to each of the user's connections on this node, lost ones first.",
         body = ref("#/components/schemas/ReconnectResult"), content_type = "application/json"),
        (status = 400, description = "`invalid_field`: the id is none."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: it is another user."),
        (status = 404, description = "`not_found`: there is no such user."),
        (status = 503, description = "`internal` or `storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn reconnect(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ReconnectResult>, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let user_id = UserId::new(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    caller.must_reach(&app, &user_id).await?;
    if app.store.user(&user_id).await?.is_none() {
        return Err(Problem::new(ErrorCode::NotFound, "there is no such user"));
    }
    caller.administers(&app, format!("user:{user_id}")).await?;
    let connections = app.node.reconnect(&user_id).await?;
    let count = connections.len();
    tracing::info!(user.id = %user_id, by = %caller.user().id, count, "a user's clients are asked to come back");
    Ok(Json(ReconnectResult { user_id, connections }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use serde_json::json;

    use crate::http::tests::{Reply, World};

    async fn ask(world: &World, whom: &str, user: &str) -> Reply {
        let request = Request::post(format!("/ws/user/{whom}/reconnect"))
            .header("authorization", format!("Bearer {}", world.token(user)));
        world.send(request.body(Body::empty()).expect("valid")).await
    }

    #[tokio::test]
    async fn administrators_ask_anyone_and_others_themselves() {
        let world = World::new().await;
        for user in ["ada", "root"] {
            let reply = ask(&world, "ada", user).await;
            let none = json!({ "user_id": "ada", "connections": [] });
            assert_eq!((reply.status, reply.json()), (200, none), "{user}");
        }
        let denied = ask(&world, "ada", "nora").await;
        assert_eq!((denied.status, denied.code().as_str()), (403, "access_denied"));
        let unknown = ask(&world, "nobody", "root").await;
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "not_found"));
        let wrong = ask(&world, "a%20b", "root").await;
        assert_eq!((wrong.status, wrong.json()["field"].as_str()), (400, Some("id")));
    }
}
