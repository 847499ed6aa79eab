//! `GET /readyz`: the server takes work.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use healthmate_protocol::ErrorCode;
use tokio::time::timeout;

use super::Problem;
use crate::app::App;

/// How long the store may take to commit.
const WITHIN: Duration = Duration::from_secs(2);

/// Whether the server takes work: it has started, does not stop, and its store commits within two seconds. For what
/// sends it traffic.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "operation",
    responses(
        (status = 200, description = "It takes work.", body = String, content_type = "text/plain"),
        (status = 503, description = "`storage_unavailable` or `storage_full`: it does not, and `detail` says why."),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    let unavailable = |detail| Problem::new(ErrorCode::StorageUnavailable, detail);
    if !app.is_ready() {
        return Err(unavailable("the server is starting or stopping"));
    }
    match timeout(WITHIN, app.store.check_writable()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(unavailable("the store did not commit within 2 seconds")),
    }
}

#[cfg(test)]
mod tests {
    use crate::http::tests::{Failing, World};

    #[tokio::test]
    async fn a_server_that_has_started_and_can_write_is_ready() {
        let world = World::new().await;
        let reply = world.get("/readyz", None).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ready\n"));
        world.app.set_ready(false);
        let reply = world.get("/readyz", None).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
        insta::assert_snapshot!(reply.body, @r#"{"type":"/problems/storage_unavailable","title":"The store cannot be written or read now; nothing was stored.","status":503,"detail":"the server is starting or stopping","code":"storage_unavailable","retry":true}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_or_hangs_is_not_ready() {
        let world = World::failing(Failing::Full).await;
        insta::assert_snapshot!(world.get("/readyz", None).await.body, @r#"{"type":"/problems/storage_full","title":"The disk is full; nothing was stored.","status":503,"detail":"Send the same request again later; an operator must make room.","code":"storage_full","retry":true}"#);
        let world = World::failing(Failing::Hanging).await;
        insta::assert_snapshot!(world.get("/readyz", None).await.body, @r#"{"type":"/problems/storage_unavailable","title":"The store cannot be written or read now; nothing was stored.","status":503,"detail":"the store did not commit within 2 seconds","code":"storage_unavailable","retry":true}"#);
    }
}
