//! Web pages of other origins: those that `server.allowed_origins` names may use the API.
//!
//! Tokens travel in a header that a page sets itself, never in a cookie, so no credentials are allowed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use healthmate_ws::OriginPolicy;

/// What such a page may send and read besides what every page may; it is asked again after ten minutes.
const MAY: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, idempotency-key"),
    (ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Answers a browser that asks first, and tells it which answers the page may read.
pub(super) async fn share(
    State(origins): State<Arc<OriginPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let listed =
        origin.filter(|origin| origin.to_str().is_ok_and(|origin| origins.allows(Some(origin), None)));
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &listed {
        Some(_) if asks => (StatusCode::NO_CONTENT, MAY).into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = listed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;

    use crate::config::Settings;
    use crate::http::tests::{Reply, World};

    const APP: &str = "https://app.example";

    async fn world() -> World {
        let mut settings = Settings::default();
        settings.server.allowed_origins = vec![APP.to_owned()];
        World::with(settings).await
    }

    async fn ask(world: &World, origin: &str) -> Reply {
        let request = Request::options("/v1/measurements")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,idempotency-key");
        world.send(request.body(Body::empty()).expect("valid")).await
    }

    #[tokio::test]
    async fn a_listed_origin_may_ask_send_and_read() {
        let world = world().await;
        let asked = ask(&world, APP).await;
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, APP));
        assert!(asked.header("access-control-allow-headers").contains("idempotency-key"));
        let token = format!("Bearer {}", world.token("ada"));
        let read = world.get_with("/v1/me", &[("authorization", &token), ("origin", APP)]).await;
        assert_eq!((read.status, read.header("access-control-allow-origin")), (200, APP));
        assert_eq!((read.header("vary"), read.header("access-control-allow-credentials")), ("origin", ""));
    }

    #[tokio::test]
    async fn every_other_origin_may_not() {
        for world in [world().await, World::new().await] {
            for origin in ["https://evil.example", "https://app.example.evil", "http://app.example", "null"] {
                let asked = ask(&world, origin).await;
                assert_eq!(
                    (asked.status, asked.header("access-control-allow-origin")),
                    (405, ""),
                    "{origin}"
                );
                let read = world.get_with("/healthz", &[("origin", origin)]).await;
                assert_eq!(read.header("access-control-allow-origin"), "", "{origin}");
            }
        }
    }
}
