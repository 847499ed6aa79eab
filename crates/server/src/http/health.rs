//! `GET /healthz`: the process lives.

/// Whether the process lives. For what restarts it.
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "operation",
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain")),
)]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

#[cfg(test)]
mod tests {
    use crate::http::tests::World;

    #[tokio::test]
    async fn the_process_lives_even_when_it_is_not_ready() {
        let world = World::new().await;
        world.app.set_ready(false);
        let reply = world.get("/healthz", None).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"));
    }
}
