//! `GET /v1/notifications`: what the caller was told.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use healthmate_protocol::{ErrorCode, MAX_PAGE, NotificationData, Offset, Timestamp};
use healthmate_storage::{NotificationPage, NotificationQuery, StoredNotification};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::caller::Caller;
use crate::app::App;

/// How many notifications a page holds if the request does not say.
const DEFAULT_LIMIT: u32 = 20;

/// The parameters as text, so that each refusal can name its own.
#[derive(Deserialize)]
pub(super) struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
}

/// A page of notifications, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct NotificationList {
    notifications: Vec<ListedNotification>,
    /// How many of all your notifications you have not seen.
    unseen: u64,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A notification with its place in `notifications:{user}`.
#[derive(Serialize, JsonSchema)]
pub(super) struct ListedNotification {
    offset: Offset,
    #[serde(flatten)]
    data: NotificationData,
    /// When you saw it first; absent if you have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<Timestamp>,
}

/// A page of your notifications, newest first.
#[utoipa::path(
    get, path = "/v1/notifications", operation_id = "listNotifications", tag = "notifications",
    params(
        ("limit" = Option<u32>, Query, description = "How many at most; 20 if absent.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before, unchanged."),
    ),
    responses(
        (status = 200, description = "The page. Without `next_cursor` it is the last one.",
         body = ref("#/components/schemas/NotificationList"), content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn notifications(
    State(app): State<Arc<App>>,
    caller: Caller,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<NotificationList>, Problem> {
    let Query(Parameters { limit, cursor }) = parameters.map_err(|_| {
        Problem::new(ErrorCode::InvalidField, "the query cannot be read: is a parameter given twice?")
    })?;
    let limit = match limit.as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => return Err(Problem::field("limit", format!("must be 1 to {MAX_PAGE}"))),
    };
    let before = cursor.map(|cursor| cursor.parse().map(Offset)).transpose();
    let before = before.map_err(|_| {
        Problem::field("cursor", "not a cursor: send the next_cursor of the page before, unchanged")
    })?;
    let query = NotificationQuery { user: caller.user().id.clone(), limit, before };
    let NotificationPage { notifications, unseen, next } = app.store.notifications(query).await?;
    let listed = |StoredNotification { offset, data, seen_at }| ListedNotification { offset, data, seen_at };
    let notifications = notifications.into_iter().map(listed).collect();
    let next_cursor = next.map(|next| next.to_string());
    Ok(Json(NotificationList { notifications, unseen, next_cursor }))
}

#[cfg(test)]
mod tests;
