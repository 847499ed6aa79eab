//! `GET /openapi.json`: the OpenAPI document of all this.
//!
//! Paths come from the handlers' annotations, schemas from the types that are sent, by the same `schemars` that
//! writes the schemas of the WebSocket messages.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use healthmate_protocol::server::{Acknowledgment, HealthDataResponse, PresenceResponse};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{
    PROBLEM_JSON, Problem, access_log, api_tokens, auth, break_glass, break_glasses, care_team, demo, erase,
    large_routes, me, notifications, patients, reconnect, record, routes, status,
};
use crate::node::{ConnectionHealth, ConnectionPage};

/// Written once: it depends on nothing but the code.
static DOCUMENT: LazyLock<String> = LazyLock::new(write);

/// The OpenAPI document, as it is committed at `docs/api/openapi.json`.
pub fn openapi() -> String {
    DOCUMENT.clone()
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operation",
    responses((status = 200, description = "The document.", content_type = "application/json")),
)]
pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

fn write() -> String {
    // An `OpenApi` is plain JSON.
    let mut document =
        serde_json::to_value(large_routes().merge(routes()).into_openapi()).unwrap_or_default();
    document["info"] = json!({
        "title": "HealthMate",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "The REST side of a HealthMate server. Live data goes over WebSockets: see docs/protocol.md.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["tags"] = json!([
        { "name": "measurements", "description": "Patients' measurements." },
        { "name": "access", "description": "Opening patients in an emergency." },
        { "name": "notifications", "description": "What users are told." },
        { "name": "users", "description": "Who is who." },
        { "name": "sign-in", "description": "Passwords, sign-ins and API tokens: see docs/sign-in.md." },
        { "name": "operation", "description": "For those who run the server." },
        { "name": "demo", "description": "Only with `--demo`." },
    ]);
    document["components"] = json!({
        "schemas": schemas(),
        "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
    });
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// The schemas of what is sent, and of everything in it.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<record::RecordRequest>();
    generator.subschema_for::<Acknowledgment>();
    generator.subschema_for::<HealthDataResponse>();
    generator.subschema_for::<patients::PatientList>();
    generator.subschema_for::<erase::EraseRequest>();
    generator.subschema_for::<erase::ErasureReport>();
    generator.subschema_for::<PresenceResponse>();
    generator.subschema_for::<access_log::AccessLog>();
    generator.subschema_for::<break_glass::BreakGlassRequest>();
    generator.subschema_for::<break_glass::BreakGlassAccess>();
    generator.subschema_for::<break_glasses::BreakGlassList>();
    generator.subschema_for::<notifications::NotificationList>();
    generator.subschema_for::<care_team::CareTeam>();
    generator.subschema_for::<care_team::Grant>();
    generator.subschema_for::<me::Me>();
    generator.subschema_for::<auth::login::LoginRequest>();
    generator.subschema_for::<auth::refresh::RefreshRequest>();
    generator.subschema_for::<auth::logout::LogoutRequest>();
    generator.subschema_for::<auth::password::PasswordRequest>();
    generator.subschema_for::<auth::SignedIn>();
    generator.subschema_for::<auth::sign_ins::SignInList>();
    generator.subschema_for::<auth::passkeys::options::PasskeyOptionsRequest>();
    generator.subschema_for::<auth::passkeys::options::PasskeyCreationOptions>();
    generator.subschema_for::<auth::passkeys::register::PasskeyRequest>();
    generator.subschema_for::<auth::passkeys::PasskeySummary>();
    generator.subschema_for::<auth::passkeys::list::PasskeyList>();
    generator.subschema_for::<auth::passkeys::sign_in_options::PasskeyRequestOptions>();
    generator.subschema_for::<auth::passkeys::sign_in::PasskeySignInRequest>();
    generator.subschema_for::<api_tokens::ApiTokenRequest>();
    generator.subschema_for::<api_tokens::IssuedApiToken>();
    generator.subschema_for::<api_tokens::ApiTokenList>();
    generator.subschema_for::<demo::SignIns>();
    generator.subschema_for::<status::NodeStatus>();
    generator.subschema_for::<ConnectionPage>();
    generator.subschema_for::<ConnectionHealth>();
    generator.subschema_for::<reconnect::ReconnectResult>();
    generator.subschema_for::<Problem>();
    generator.take_definitions(true)
}

/// What the annotations cannot say: every refusal has the same body, a request's body must be there, and a parameter
/// that may be absent is not `null`.
fn complete(document: &mut Value) {
    let operations = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in operations.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody") {
            body["required"] = json!(true);
        }
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(kind) = parameter.pointer_mut("/schema/type") else {
                continue;
            };
            if let Some(first) = kind.as_array().and_then(|kinds| kinds.first()).cloned() {
                *kind = first;
            }
        }
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, response) in responses.filter(|(status, _)| status.as_str() >= "400") {
            response["content"] =
                json!({ PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_committed_document_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
        if std::env::var_os("HEALTHMATE_GENERATE").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, openapi()).expect("written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == openapi(), "docs/api/openapi.json is out of date: run `make generate`");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document: Value = serde_json::from_str(&openapi()).expect("JSON");
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let there: BTreeSet<_> = schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(found, there);
        assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
        assert_eq!(document["paths"].as_object().expect("paths").len(), 37);
        let record = &document["paths"]["/v1/measurements"]["post"];
        assert_eq!(record["requestBody"]["required"], true);
        assert_eq!(record["parameters"][0]["schema"]["type"], "string");
    }
}
