//! HTTP: everything a server answers beside its sockets.
//!
//! One endpoint per file under `http/`, with its types, its text for the OpenAPI document, its handler and its
//! tests. To add one: write its file, add a line to `routes`, and run `make generate`, which writes
//! `docs/api/openapi.json`.
//!
//! Errors are RFC 9457 problem details. A patient's path and data never reach a log or a metric: requests are known
//! by their route.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use healthmate_ws::OriginPolicy;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::assets::Assets;

mod access_log;
mod api_tokens;
mod auth;
mod break_glass;
mod break_glasses;
mod caller;
mod care_team;
mod close_connection;
mod connection_health;
mod connections;
mod cors;
mod demo;
mod end_break_glass;
mod erase;
pub(crate) mod headers;
mod health;
mod history;
mod json;
mod me;
mod metrics;
mod notification_seen;
mod notifications;
mod observe;
mod openapi;
mod patients;
mod presence;
mod problem;
mod ready;
mod reconnect;
mod record;
mod status;
mod web;

pub(crate) use caller::ClientAddress;
pub use demo::DEMO_PREFIX;
pub(crate) use headers::raw_answer;
pub use openapi::openapi;
pub use problem::{PROBLEM_JSON, Problem};

/// Documented routes whose requests may be large.
fn large_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(record::record))
}

/// Every other documented route.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(history::history))
        .routes(routes!(patients::patients))
        .routes(routes!(erase::erase))
        .routes(routes!(presence::presence))
        .routes(routes!(access_log::access_log))
        .routes(routes!(break_glass::break_glass, break_glasses::break_glasses))
        .routes(routes!(end_break_glass::end_break_glass))
        .routes(routes!(notifications::notifications))
        .routes(routes!(notification_seen::notification_seen))
        .routes(routes!(care_team::care_team))
        .routes(routes!(care_team::grant, care_team::end))
        .routes(routes!(me::me))
        .routes(routes!(auth::login::login))
        .routes(routes!(auth::refresh::refresh))
        .routes(routes!(auth::logout::logout))
        .routes(routes!(auth::password::change_password))
        .routes(routes!(auth::sign_ins::sign_ins))
        .routes(routes!(auth::sign_ins::end_sign_in))
        .routes(routes!(auth::passkeys::list::passkeys, auth::passkeys::register::add_passkey))
        .routes(routes!(auth::passkeys::options::begin_passkey))
        .routes(routes!(auth::passkeys::remove::remove_passkey))
        .routes(routes!(auth::passkeys::sign_in_options::begin_passkey_sign_in))
        .routes(routes!(auth::passkeys::sign_in::passkey_sign_in))
        .routes(routes!(api_tokens::issue, api_tokens::list))
        .routes(routes!(api_tokens::revoke))
        .routes(routes!(health::health))
        .routes(routes!(ready::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(status::status))
        .routes(routes!(connections::connections))
        .routes(routes!(connection_health::connection_health))
        .routes(routes!(close_connection::close_connection))
        .routes(routes!(reconnect::reconnect))
        .routes(routes!(openapi::document))
        .routes(routes!(problem::explain))
        .routes(routes!(demo::sign_ins))
}

/// Answers everything but the sockets.
pub fn router(app: Arc<App>) -> Router {
    let limits = &app.settings.limits;
    let large = large_routes().layer(DefaultBodyLimit::max(limits.body_bytes as usize));
    let small = routes().layer(DefaultBodyLimit::max(limits.small_body_bytes as usize));
    let (documented, _) = large.merge(small).split_for_parts();
    let assets = Arc::new(Assets::new(app.settings.server.web_dir.clone()));
    // What is no origin was refused with the settings.
    let origins = Arc::new(OriginPolicy::only(&app.settings.server.allowed_origins).unwrap_or_default());
    documented
        .fallback(move |request| web::serve(assets, request))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(origins, cors::share))
        .layer(middleware::from_fn_with_state(app.clone(), observe::observe))
        .layer(middleware::from_fn_with_state(app.clone(), headers::secure))
        .with_state(app)
}

#[cfg(test)]
pub(crate) mod tests;
