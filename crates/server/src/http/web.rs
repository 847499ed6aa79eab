//! Everything that is no route: the web app, or a problem.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use healthmate_protocol::ErrorCode;

use super::{Problem, problem};
use crate::assets::{Asset, Assets, INDEX};

/// What belongs to the API: a path there that is no route is a problem, never the app.
const API: &[&str] = &["v1", "ws", "demo", "problems"];

/// Names under this folder hold a digest of the content: what has one never changes.
const HASHED: &str = "assets/";

/// What `/` says while there is no app.
const NOT_BUILT: &str = include_str!("not_built.html");

pub(super) async fn serve(assets: Arc<Assets>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if API.contains(&path.split('/').next().unwrap_or_default()) {
        return not_found(path);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ([(ALLOW, "GET,HEAD")], problem::method_not_allowed().await).into_response();
    }
    if path.is_empty() {
        return index(&assets, request.headers()).await;
    }
    match assets.get(path).await {
        Some(asset) => file(path, asset, request.headers()),
        None if is_page(path, request.headers()) => index(&assets, request.headers()).await,
        None => not_found(path),
    }
}

fn not_found(path: &str) -> Response {
    let detail = if path.starts_with("ws/") {
        "no websocket is served here: use /ws/health, /ws/chat, /ws/notifications or /ws/combined"
    } else {
        ErrorCode::NotFound.remedy()
    };
    Problem::new(ErrorCode::NotFound, detail).into_response()
}

/// Whether the path is one of the app's own pages, which it draws itself.
fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let named = path.rsplit('/').next().unwrap_or_default();
    let accepts_html = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    !named.contains('.') && accepts_html
}

async fn index(assets: &Assets, headers: &HeaderMap) -> Response {
    match assets.get(INDEX).await {
        Some(asset) => file(INDEX, asset, headers),
        None => (StatusCode::NOT_FOUND, [(CACHE_CONTROL, "no-store")], Html(NOT_BUILT)).into_response(),
    }
}

fn file(path: &str, asset: Asset, headers: &HeaderMap) -> Response {
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let common: [(HeaderName, &str); 2] = [(CACHE_CONTROL, cache), (ETAG, &asset.etag)];
    if has(headers, &asset.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, asset.content_type)], asset.content).into_response()
}

/// Whether the client says that it holds this content already.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests;
