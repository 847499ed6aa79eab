//! `POST /v1/measurements`: stores measurements.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use healthmate_care::{Action, Measurement};
use healthmate_protocol::client::HealthUpdate;
use healthmate_protocol::server::Acknowledgment;
use healthmate_protocol::{ErrorCode, MAX_BATCH, MeasurementInput, Timestamp, UserId};
use healthmate_storage::{Idempotency, Recording};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::{Problem, json};
use crate::app::App;

/// The longest `Idempotency-Key`, in characters.
const MAX_KEY_CHARS: usize = 255;

/// The name of the header, as problems name it.
const KEY: &str = "Idempotency-Key";

/// What can be sent: one measurement, flat, or what a `health_update` message holds.
pub(super) struct RecordRequest;

impl JsonSchema for RecordRequest {
    fn schema_name() -> Cow<'static, str> {
        "RecordRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let patient = generator.subschema_for::<Option<UserId>>();
        let one = generator.subschema_for::<MeasurementInput>();
        let update = generator.subschema_for::<HealthUpdate>();
        json_schema!({
            "description": "One measurement, or a `batch` of 1 to 1000 that are stored all or none. `patient` is \
                            whose they are; one's own, or the device's patient, if absent.",
            "anyOf": [{ "allOf": [one, { "type": "object", "properties": { "patient": patient } }] }, update],
        })
    }
}

/// Stores measurements of oneself, or of the patient of a device.
///
/// The answer comes when they are on disk. A measurement with a `client_id` that its author used before is not stored
/// again; its result is the first one. A request with an `Idempotency-Key` that its author used before is not
/// done again; its answer is the first one.
#[utoipa::path(
    post, path = "/v1/measurements", operation_id = "recordMeasurements", tag = "measurements",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Names the request, 1 to 255 printable ASCII characters. Sent again, it is answered again.")),
    request_body(content = ref("#/components/schemas/RecordRequest"), content_type = "application/json"),
    responses(
        (status = 201, description = "They are on disk: one result for each, in order.",
         body = ref("#/components/schemas/Acknowledgment"), content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`, such as `batch[2].value`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: neither your own data nor your patient's."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 422, description = "`unknown_metric`, `unknown_unit`, `implausible_value`, `time_in_future`: none \
                                      was stored. Or `idempotency_conflict`: the key was used for another request."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn record(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Acknowledgment>), Problem> {
    let body = json::large_body(&app, &headers, body)?;
    let idempotency = idempotency(&headers, &body)?;
    let (patient, inputs) = read(&body)?;
    let own = || caller.user().own_patient().cloned();
    let Some(patient) = patient.or_else(own) else {
        return Err(Problem::new(
            ErrorCode::AccessDenied,
            "only a patient and a patient's devices may write measurements",
        ));
    };
    let audit = caller.must(&app, Action::WriteMeasurements, "measurements", &patient).await?;
    let measurements = inputs.accept(app.clock.now())?;
    let author = caller.user().id.clone();
    let recording = Recording {
        patient: patient.clone(),
        author,
        measurements,
        idempotency,
        audit: Some(Box::new(audit)),
    };
    let results = app.store.record(recording).await?;
    app.metrics.count_receipts(&results);
    Ok((StatusCode::CREATED, Json(Acknowledgment { patient, results })))
}

/// Measurements as they were sent, one or a batch: problems name the field by it.
enum Inputs {
    One { input: MeasurementInput, path: &'static str },
    Batch(Vec<MeasurementInput>),
}

impl Inputs {
    fn accept(self, now: Timestamp) -> Result<Vec<Measurement>, Problem> {
        let accept = |input, path: &str| {
            Measurement::accept(input, now).map_err(|refusal| Problem::refused(path, refusal))
        };
        match self {
            Self::One { input, path } => Ok(vec![accept(input, path)?]),
            Self::Batch(inputs) => inputs
                .into_iter()
                .enumerate()
                .map(|(n, input)| accept(input, &format!("batch[{n}].")))
                .collect(),
        }
    }
}

fn read(body: &[u8]) -> Result<(Option<UserId>, Inputs), Problem> {
    let HealthUpdate { patient, data, batch } = json::parse(body)?;
    let inputs = match (data, batch) {
        (Some(_), Some(_)) => return Err(Problem::field("batch", "must be absent where data is given")),
        (Some(input), None) => Inputs::One { input, path: "data." },
        (None, Some(batch)) if (1..=MAX_BATCH).contains(&batch.len()) => Inputs::Batch(batch),
        (None, Some(batch)) => {
            let message = format!("holds {} measurements, must hold 1 to {MAX_BATCH}", batch.len());
            return Err(Problem::field("batch", message));
        }
        (None, None) => Inputs::One { input: json::parse(body)?, path: "" },
    };
    Ok((patient, inputs))
}

fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    let (Some(key), None) = (key, values.next()) else {
        let message = format!("must be one value of 1 to {MAX_KEY_CHARS} printable ASCII characters");
        return Err(Problem::field(KEY, message));
    };
    Ok(Some(Idempotency { key: key.to_owned(), digest: Sha256::digest(body).into() }))
}

#[cfg(test)]
mod tests;
