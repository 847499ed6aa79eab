//! `GET /ws/connection/{id}/health`: how one connection does.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use healthmate_protocol::{ConnectionId, ErrorCode};

use super::Problem;
use super::caller::Caller;
use crate::app::App;
use crate::node::ConnectionHealth;

/// How one connection does: of anyone for administrators, one's own for others.
#[utoipa::path(
    get, path = "/ws/connection/{id}/health", operation_id = "getConnectionHealth", tag = "operation",
    params(("id" = String, Path, description = "The `connection_id`.")),
    responses(
        (status = 200, description = "The connection.", body = ref("#/components/schemas/ConnectionHealth"),
         content_type = "application/json"),
        (status = 400, description = "`invalid_field`: the id is none."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 404, description = "`not_found`: there is none of this id, or it is another user's."),
        (status = 503, description = "`internal` or `storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn connection_health(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ConnectionHealth>, Problem> {
    let id = connection_id(id)?;
    let health = app.node.health(id.clone(), caller.reach()).await?.ok_or_else(no_connection)?;
    if health.summary.user_id.as_ref() != Some(&caller.user().id) {
        caller.administers(&app, format!("connection:{id}")).await?;
    }
    Ok(Json(health))
}

/// The connection that a path names.
pub(super) fn connection_id(id: Result<Path<String>, PathRejection>) -> Result<ConnectionId, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    ConnectionId::new(&id).map_err(|error| Problem::field("id", error.to_string()))
}

/// There is none: the same for another user's, so that nobody learns who is connected.
pub(super) fn no_connection() -> Problem {
    Problem::new(ErrorCode::NotFound, "you have no such connection on this node")
}

#[cfg(test)]
mod tests {
    use crate::http::tests::World;

    #[tokio::test]
    async fn a_connection_that_is_not_there_is_not_found() {
        let world = World::new().await;
        let path = "/ws/connection/019ab7c0-0000-7000-8000-000000000000/health";
        for user in ["ada", "root"] {
            let reply = world.get(path, Some(user)).await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{user}");
        }
        let reply = world.get("/ws/connection/not%20one/health", Some("root")).await;
        assert_eq!((reply.status, reply.json()["field"].as_str()), (400, Some("id")));
        assert_eq!(world.get(path, None).await.code(), "token_missing");
    }
}
