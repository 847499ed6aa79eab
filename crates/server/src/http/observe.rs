//! Counts and logs every request, by its route: never by its path, which holds ids.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use healthmate_protocol::ErrorCode;
use tokio::time::Instant;
use tracing::{Instrument, field};

use crate::app::App;

/// What stands for a path that is no route's: the web app, and what does not exist.
const OTHER: &str = "other";

pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(OTHER, MatchedPath::as_str);
    let method = method_name(request.method());
    // For the export of traces: what `otel.` names is not an attribute, but the span itself.
    let span = tracing::debug_span!(
        "http_request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        http.route = route,
        http.request.method = method,
        http.response.status_code = field::Empty,
        error.type = field::Empty,
    );
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let seconds = started.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    app.metrics.count_request(route, method, status, seconds);
    let code = response.extensions().get::<ErrorCode>().copied();
    if let Some(code) = code {
        app.metrics.errors.of(code).inc();
    }
    let code = code.map(ErrorCode::as_str);
    span.record("http.response.status_code", status);
    span.record("error.type", code);
    let duration_ms = (seconds * 1e6).round() / 1e3;
    tracing::debug!(
        http.route = route,
        http.method = method,
        http.status = status,
        duration_ms,
        code,
        "request answered"
    );
    response
}

/// A client may invent methods: only known ones become a label.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}
