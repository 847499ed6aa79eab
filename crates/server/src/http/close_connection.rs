//! `DELETE /ws/connection/{id}`: closes a connection.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Problem;
use super::caller::Caller;
use super::connection_health::{connection_id, no_connection};
use crate::app::App;

/// Closes a connection with 4504, after which its client does not come back by itself: anyone's for administrators,
/// one's own for others.
#[utoipa::path(
    delete, path = "/ws/connection/{id}", operation_id = "closeConnection", tag = "operation",
    params(("id" = String, Path, description = "The `connection_id`.")),
    responses(
        (status = 204, description = "It is being closed."),
        (status = 400, description = "`invalid_field`: the id is none."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 404, description = "`not_found`: there is none of this id, it is another user's, or it closes already."),
        (status = 503, description = "`internal` or `storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn close_connection(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let id = connection_id(id)?;
    app.node.health(id.clone(), caller.reach()).await?.ok_or_else(no_connection)?;
    caller.administers(&app, format!("connection:{id}")).await?;
    if !app.node.close(id.clone(), caller.reach()).await? {
        return Err(no_connection());
    }
    tracing::info!(connection.id = %id, by = %caller.user().id, "a connection is closed on request");
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;

    use crate::http::tests::World;

    #[tokio::test]
    async fn only_a_connection_that_is_there_can_be_closed_and_only_with_a_token() {
        let world = World::new().await;
        let delete = async |user: Option<&str>| {
            let request = Request::delete("/ws/connection/019ab7c0-0000-7000-8000-000000000000");
            let request = match user {
                Some(user) => request.header("authorization", format!("Bearer {}", world.token(user))),
                None => request,
            };
            let reply = world.send(request.body(Body::empty()).expect("valid")).await;
            (reply.status, reply.code())
        };
        assert_eq!(delete(Some("root")).await, (404, "not_found".to_owned()));
        assert_eq!(delete(Some("ada")).await, (404, "not_found".to_owned()));
        assert_eq!(delete(None).await, (401, "token_missing".to_owned()));
    }
}
