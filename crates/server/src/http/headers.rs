//! Headers that every response has.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::app::App;
use crate::config::ServerSettings;

/// The app is of one origin: its scripts, styles, requests and sockets (`'self'` covers `ws:` of the same host). What
/// draws charts sets styles by script, which needs no exception.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// Everything that the app does without; a page that was broken into does without it too.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), \
                           geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), \
                           serial=(), usb=()";

/// Paths whose answers are about people, or for those who run the server: no cache keeps them.
const PERSONAL: [&str; 3] = ["/v1/", "/demo/", "/ws/"];

/// What every answer has, and what those over TLS have too: for a year, browsers come by TLS only.
const ALWAYS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
const BY_TLS: (HeaderName, &str) = (STRICT_TRANSPORT_SECURITY, "max-age=31536000");

/// Adds the security headers, and keeps answers about people out of every cache.
pub(super) async fn secure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    add(response.headers_mut(), &path, &app.settings.server);
    response
}

/// Adds the security headers to the answer of a request for `path`.
pub(crate) fn add(headers: &mut HeaderMap, path: &str, settings: &ServerSettings) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if settings.tls_certificate.is_some() {
        headers.insert(BY_TLS.0, HeaderValue::from_static(BY_TLS.1));
    }
    if PERSONAL.iter().any(|start| path.starts_with(start)) || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// A refusal as it goes over the wire, with the end of the connection after it.
pub(crate) fn raw_answer(problem: Problem, settings: &ServerSettings) -> Vec<u8> {
    let body = problem.to_json();
    let response = problem.into_response();
    let mut headers = response.headers().clone();
    add(&mut headers, "", settings);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let mut answer = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in &headers {
        answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    answer.extend([b"\r\n", body.as_bytes()].concat());
    answer
}
