//! `GET /v1/patients/{id}/measurements`: a patient's history.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use healthmate_care::{Action, Metric};
use healthmate_protocol::server::HealthDataResponse;
use healthmate_protocol::{ErrorCode, MAX_PAGE, Timestamp, UserId};
use healthmate_storage::{Cursor, MeasurementQuery};
use serde::Deserialize;

use super::Problem;
use super::caller::Caller;
use crate::app::App;
use crate::audit::history_object;

/// How many measurements a page holds if the request does not say.
const DEFAULT_LIMIT: u32 = 10;

/// The parameters as text, so that each refusal can name its own.
#[derive(Deserialize)]
pub(super) struct Parameters {
    metric: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// A page of a patient's measurements, newest first.
#[utoipa::path(
    get, path = "/v1/patients/{id}/measurements", operation_id = "listMeasurements", tag = "measurements",
    params(
        ("id" = String, Path, description = "The patient."),
        ("metric" = Option<String>, Query, description = "Only this metric, such as `heart_rate`."),
        ("from" = Option<String>, Query, description = "Only those taken at or after this time (RFC 3339)."),
        ("to" = Option<String>, Query, description = "Only those taken before this time (RFC 3339)."),
        ("limit" = Option<u32>, Query, description = "How many at most.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before, unchanged."),
    ),
    responses(
        (status = 200, description = "The page. Without `next_cursor` it is the last one.",
         body = ref("#/components/schemas/HealthDataResponse"), content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you are not in this patient's care team, or there is none."),
        (status = 422, description = "`unknown_metric`."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<HealthDataResponse>, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let patient = UserId::new(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    let Query(parameters) = parameters.map_err(|_| {
        Problem::new(ErrorCode::InvalidField, "the query cannot be read: is a parameter given twice?")
    })?;
    let query = query(&patient, &parameters);
    let object = history_object(query.as_ref().ok().and_then(|query| query.metric));
    let record = caller.must(&app, Action::ReadMeasurements, object, &patient).await?;
    let page = app.store.measurements(query?).await?;
    app.store.audit(vec![record]).await?;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(Json(HealthDataResponse { patient, measurements: page.measurements, next_cursor }))
}

fn query(patient: &UserId, parameters: &Parameters) -> Result<MeasurementQuery, Problem> {
    let Parameters { metric, from, to, limit, cursor } = parameters;
    let metric = metric.as_deref().map(str::parse::<Metric>).transpose();
    let limit = match limit.as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => return Err(Problem::field("limit", format!("must be 1 to {MAX_PAGE}"))),
    };
    Ok(MeasurementQuery {
        patient: patient.clone(),
        metric: metric
            .map_err(|error| Problem::new(ErrorCode::UnknownMetric, error.to_string()).at("metric"))?,
        from: parse::<Timestamp>("from", from.as_ref())?,
        to: parse::<Timestamp>("to", to.as_ref())?,
        limit,
        after: parse::<Cursor>("cursor", cursor.as_ref())?,
    })
}

fn parse<T: FromStr<Err: ToString>>(name: &str, text: Option<&String>) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse()).transpose().map_err(|error: T::Err| Problem::field(name, error.to_string()))
}

#[cfg(test)]
mod tests;
