use std::path::Path;

use super::*;
use crate::fixtures;

mod conforms;

use conforms::{follow, problems};

/// Holds a generated text against the committed file, or writes the file if `HEALTHMATE_GENERATE` is set.
fn is_current(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api").join(file);
    if std::env::var_os("HEALTHMATE_GENERATE").is_some() {
        std::fs::write(&path, text).expect("docs/api can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/api/{file} is stale: run `make generate`");
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn the_committed_schema_is_current() {
    is_current("protocol.schema.json", &json_schema());
}

#[test]
fn the_committed_asyncapi_document_is_current() {
    is_current("asyncapi.json", &asyncapi());
}

#[test]
fn every_fixture_conforms() {
    let document = parsed(&json_schema());
    let sides = [("ClientMessage", fixtures::CLIENT), ("ServerMessage", fixtures::SERVER)];
    for (side, fixtures) in sides {
        for fixture in fixtures {
            let found = problems(&document, &document["$defs"][side], &parsed(fixture.text));
            assert!(found.is_empty(), "{}: {}", fixture.name, found.join("; "));
        }
    }
}

#[test]
fn what_breaks_the_contract_does_not_conform() {
    let document = parsed(&json_schema());
    let broken = |side: &str, text: &str| {
        let found = problems(&document, &document["$defs"][side], &parsed(text));
        assert!(!found.is_empty(), "{text} conforms");
    };
    let measurement = r#"{"metric":"glucose","value":90,"unit":"mg/dL","taken_at":"2026-11-23T07:00:00Z"}"#;
    broken("ClientMessage", r#"{"type":"boom"}"#);
    broken("ClientMessage", r#"{"type":"authenticate"}"#);
    broken("ClientMessage", r#"{"type":"subscribe"}"#);
    broken("ClientMessage", r#"{"type":"subscribe","topic":"health:p","subscription":"health:p"}"#);
    broken("ClientMessage", r#"{"type":"get_health_data","limit":1001}"#);
    broken("ClientMessage", r#"{"type":"get_health_data","metric":"glucose","data_type":"glucose"}"#);
    broken("ClientMessage", r#"{"type":"health_update"}"#);
    broken("ClientMessage", r#"{"type":"health_update","batch":[]}"#);
    broken(
        "ClientMessage",
        &format!(r#"{{"type":"health_update","data":{measurement},"batch":[{measurement}]}}"#),
    );
    broken("ClientMessage", &format!(r#"{{"type":"health_update","patient":null,"data":{measurement}}}"#));
    broken("ServerMessage", r#"{"type":"pong","data":{}}"#);
    broken("ServerMessage", r#"{"type":"pong","timestamp":"yesterday","data":{}}"#);
    broken(
        "ServerMessage",
        r#"{"type":"error","timestamp":"2026-11-23T07:00:00Z","data":{"code":"x","message":"","retry":true}}"#,
    );
}

#[test]
fn every_reference_of_both_documents_leads_somewhere() {
    fn visit(document: &Value, value: &Value, seen: &mut usize) {
        match value {
            Value::Object(object) => {
                if let Some(target) = object.get("$ref") {
                    assert!(
                        follow(document, target.as_str().expect("text")).is_some(),
                        "{target} leads nowhere"
                    );
                    *seen += 1;
                }
                object.values().for_each(|value| visit(document, value, seen));
            }
            Value::Array(items) => items.iter().for_each(|value| visit(document, value, seen)),
            _ => {}
        }
    }
    for text in [json_schema(), asyncapi()] {
        let (document, mut seen) = (parsed(&text), 0);
        visit(&document, &document, &mut seen);
        assert!(seen > 20, "only {seen} references");
    }
}

#[test]
fn every_message_of_the_asyncapi_document_shows_an_example() {
    let document = parsed(&asyncapi());
    let messages = document["components"]["messages"].as_object().expect("an object");
    assert_eq!(messages.len(), Command::NAMES.len() + server::ServerMessage::NAMES.len());
    for (name, message) in messages {
        let examples = message["examples"].as_array().expect("a list");
        assert!(
            !examples.is_empty() && examples.iter().all(|example| example["payload"].is_object()),
            "{name}"
        );
    }
}
