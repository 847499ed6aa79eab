//! Bodies of JSON, read so that a refusal names the field.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use healthmate_protocol::{ErrorCode, shortened};
use serde::Deserialize;

use super::Problem;
use crate::app::App;

/// The bytes of a body that says it is JSON, of a route for small ones.
pub(super) fn body(
    app: &App,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Bytes, Problem> {
    let is_json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        let problem = Problem::field("Content-Type", "must be application/json");
        return Err(problem.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    body.map_err(|rejection| {
        if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
            return too_large(app.settings.limits.small_body_bytes);
        }
        Problem::new(ErrorCode::MalformedJson, "the body broke off")
    })
}

/// The bytes of a body that says it is JSON, of a route that takes measurements.
pub(super) fn large_body(
    app: &App,
    headers: &HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Bytes, Problem> {
    body(app, headers, bytes).map_err(|problem| match problem.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(app.settings.limits.body_bytes),
        _ => problem,
    })
}

fn too_large(limit: u32) -> Problem {
    Problem::new(ErrorCode::InvalidField, format!("the body must be at most {limit} bytes"))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

/// Reads `bytes` as a `T`, whose JSON is an object.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    // serde would take a list of a type's fields as well.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(ErrorCode::MalformedJson, "not a JSON object: a list"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize::<_, T>(&mut reader).map_err(|error| explain(&error))?;
    reader.end().map_err(|error| Problem::new(ErrorCode::MalformedJson, error.to_string()))?;
    Ok(value)
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        return Problem::new(ErrorCode::MalformedJson, format!("not valid JSON: {inner}"));
    }
    let text = inner.to_string();
    // serde ends its sentence with a place in the text, which the field's name tells better.
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(sentence, _)| sentence);
    let problem = &shortened(problem);
    let path = match error.path().to_string() {
        root if root == "." => String::new(),
        path => shortened(&path),
    };
    match (path.is_empty(), absent(problem)) {
        (true, None) => Problem::new(ErrorCode::MalformedJson, format!("not a JSON object: {problem}")),
        (true, Some(name)) => Problem::field(name, problem),
        (false, Some(name)) if !path.ends_with(name) => Problem::field(format!("{path}.{name}"), problem),
        (false, _) => Problem::field(path, problem),
    }
}

/// The field that a sentence of serde names, but its path does not.
fn absent(problem: &str) -> Option<&str> {
    let starts = ["missing field `", "duplicate field `"];
    starts.iter().find_map(|start| problem.strip_prefix(start)?.split('`').next())
}
