//! `POST /v1/notifications/{id}/seen`: the caller has seen a notification.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use healthmate_protocol::NotificationId;

use super::Problem;
use super::caller::Caller;
use crate::app::App;

/// Says that you have seen a notification: on all your devices. A second time changes nothing.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/seen", operation_id = "seeNotification", tag = "notifications",
    params(("id" = String, Path, description = "The notification.")),
    responses(
        (status = 204, description = "It counts as seen."),
        (status = 400, description = "`invalid_field`: the id is none."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 404, description = "`not_found`: you have none of this id."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn notification_seen(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let id = NotificationId::new(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    app.store.notification_seen(&caller.user().id, &id, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
