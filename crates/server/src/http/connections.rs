//! `GET /ws/connections`: who is connected.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use healthmate_protocol::{ConnectionId, ErrorCode, MAX_PAGE, UserId};
use serde::Deserialize;

use super::Problem;
use super::caller::Caller;
use crate::app::App;
use crate::node::{ConnectionPage, ConnectionQuery, Reach, StateWord};

/// How many connections a page holds if the request does not say.
const DEFAULT_LIMIT: u32 = 100;

/// The parameters as text, so that each refusal can name its own.
#[derive(Deserialize)]
pub(super) struct Parameters {
    user: Option<String>,
    state: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// The connections of this node, the oldest first: all for administrators, one's own for others.
#[utoipa::path(
    get, path = "/ws/connections", operation_id = "listConnections", tag = "operation",
    params(
        ("user" = Option<String>, Query, description = "Only this user's."),
        ("state" = Option<String>, Query,
         description = "Only those in this state: `connected`, `authenticated`, `error` (lost; the client may come back) \
         or `disconnected` (closing)."),
        ("limit" = Option<u32>, Query, description = "How many at most.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before, unchanged."),
    ),
    responses(
        (status = 200, description = "The page. Without `next_cursor` it is the last one.",
         body = ref("#/components/schemas/ConnectionPage"), content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you asked for another user's."),
        (status = 503, description = "`internal` or `storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn connections(
    State(app): State<Arc<App>>,
    caller: Caller,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<ConnectionPage>, Problem> {
    let Query(parameters) = parameters.map_err(|_| {
        Problem::new(ErrorCode::InvalidField, "the query cannot be read: is a parameter given twice?")
    })?;
    let query = query(&app, &caller, &parameters).await?;
    if query.reach == Reach::Everyone && query.user.as_ref() != Some(&caller.user().id) {
        let whose = query.user.as_ref().map_or("connection:*".to_owned(), |user| format!("user:{user}"));
        caller.administers(&app, whose).await?;
    }
    Ok(Json(app.node.connections(query).await?))
}

async fn query(app: &App, caller: &Caller, parameters: &Parameters) -> Result<ConnectionQuery, Problem> {
    let Parameters { user, state, limit, cursor } = parameters;
    let user = user.as_deref().map(UserId::new).transpose();
    let user = user.map_err(|error| Problem::field("user", error.to_string()))?;
    if let Some(user) = &user {
        caller.must_reach(app, user).await?;
    }
    let state = state.as_deref().map(|text| StateWord::ALL.iter().find(|(word, _)| *word == text));
    let limit = match limit.as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => return Err(Problem::field("limit", format!("must be 1 to {MAX_PAGE}"))),
    };
    let after = cursor.as_deref().map(ConnectionId::new).transpose();
    Ok(ConnectionQuery {
        reach: caller.reach(),
        user,
        state: match state {
            None => None,
            Some(Some((_, state))) => Some(*state),
            Some(None) => {
                return Err(Problem::field(
                    "state",
                    "must be connected, authenticated, error or disconnected",
                ));
            }
        },
        after: after.map_err(|_| Problem::field("cursor", "must be the next_cursor of a page"))?,
        limit: limit as usize,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::http::tests::World;
    use crate::registry::Registry;

    #[tokio::test]
    async fn a_user_asks_for_their_own_and_an_administrator_for_any() {
        let world = World::new().await;
        let none = json!({ "connections": [] });
        for (user, query) in [
            ("ada", ""),
            ("ada", "?user=ada"),
            ("root", ""),
            ("root", "?user=ada&state=authenticated&limit=1000"),
        ] {
            let reply = world.get(&format!("/ws/connections{query}"), Some(user)).await;
            assert_eq!((reply.status, reply.json()), (200, none.clone()), "{user} {query}");
        }
        let reply = world.get("/ws/connections?user=ada", Some("nora")).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "access_denied"));
        assert_eq!(world.get("/ws/connections", None).await.code(), "token_missing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_does_not_answer_is_503() {
        let world = World::new().await;
        // A letter box that nobody empties.
        world.app.node.run(vec![Arc::default()], Arc::new(Registry::new(5, false)));
        for path in ["/ws/connections", "/ws/status", "/ws/connection/a/health"] {
            let reply = world.get(path, Some("root")).await;
            assert_eq!((reply.status, reply.code().as_str()), (503, "internal"), "{path}");
            assert_eq!(reply.header("retry-after"), "1");
        }
        assert_eq!(world.get("/ws/status", None).await.json(), json!({ "status": "ok" }));
    }

    #[tokio::test]
    async fn each_wrong_parameter_is_named() {
        let world = World::new().await;
        for (query, field) in [
            ("?user=a%20b", "user"),
            ("?state=connecting", "state"),
            ("?limit=0", "limit"),
            ("?limit=1001", "limit"),
            ("?limit=many", "limit"),
            ("?cursor=not-a-cursor", "cursor"),
        ] {
            let reply = world.get(&format!("/ws/connections{query}"), Some("root")).await;
            assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_field"), "{query}");
            assert_eq!(reply.json()["field"], field);
        }
    }
}
