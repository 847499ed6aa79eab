//! `GET /metrics`: what is counted, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::app::App;
use crate::telemetry::metrics::CONTENT_TYPE as OPENMETRICS;

/// What is counted, in the text form of `OpenMetrics`. It holds nothing about anyone.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text")),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPENMETRICS)], app.metrics.encode())
}

#[cfg(test)]
mod tests {
    use crate::http::tests::World;

    #[tokio::test]
    async fn requests_are_counted_by_route_and_refusals_by_code() {
        let world = World::new().await;
        world.get("/v1/patients/ada/measurements", Some("ada")).await;
        world.get("/v1/patients/bob/measurements", Some("ada")).await;
        world.get("/no/such/page", None).await;
        let reply = world.get("/metrics", None).await;
        assert_eq!(
            reply.header("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        for line in [
            r#"healthmate_http_requests_total{route="/v1/patients/{id}/measurements",method="GET",status="200"} 1"#,
            r#"healthmate_http_requests_total{route="/v1/patients/{id}/measurements",method="GET",status="403"} 1"#,
            r#"healthmate_http_requests_total{route="other",method="GET",status="404"} 1"#,
            r#"healthmate_errors_total{code="access_denied"} 1"#,
            r#"healthmate_errors_total{code="not_found"} 1"#,
        ] {
            assert!(reply.body.lines().any(|have| have == line), "{line} is not in\n{}", reply.body);
        }
    }
}
