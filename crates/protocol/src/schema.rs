//! The protocol for other languages: a JSON Schema of every message, and an AsyncAPI document around it.
//!
//! Both are derived from the Rust types, committed under `docs/api/`, and written anew by `make generate`; a test
//! fails when the committed files are stale.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::client::Command;
use crate::server::{MessageSchema, Occasion};
use crate::{ids, server, timestamp, topic};

mod asyncapi;

pub use asyncapi::asyncapi;

/// Everything the types define, each under its name in `$defs`.
struct Definitions {
    all: Map<String, Value>,
    /// The names of the client's messages in `all`, in the order of [`Command::NAMES`].
    client: Vec<String>,
    /// The names of the server's messages in `all`, in the order of `ServerMessage::NAMES`.
    server: Vec<String>,
}

/// The JSON Schema (draft 2020-12) of every message, as one document: `$defs` holds `ClientMessage` and
/// `ServerMessage`, each one of its messages, told apart by `type`. Ends with a line break.
pub fn json_schema() -> String {
    let Definitions { mut all, client, server } = definitions();
    all.insert("ClientMessage".into(), one_of("What a client sends.", &client));
    all.insert("ServerMessage".into(), one_of("What the server sends.", &server));
    written(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:healthmate:protocol:{}", crate::SUBPROTOCOL),
        "title": format!("HealthMate protocol {}", crate::SUBPROTOCOL),
        "description": "One JSON object per WebSocket text message. An optional field that has no value is left \
                        out; fields that are not named here may be there and are to be ignored.",
        "anyOf": [{ "$ref": "#/$defs/ClientMessage" }, { "$ref": "#/$defs/ServerMessage" }],
        "$defs": all,
    }))
}

fn one_of(description: &str, names: &[String]) -> Value {
    let choices: Vec<Value> = names.iter().map(|name| reference(name)).collect();
    json!({ "description": description, "oneOf": choices })
}

fn definitions() -> Definitions {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let commands = crate::client::schemas(&mut generator);
    let messages = server::schemas(&mut generator);
    generator.subschema_for::<timestamp::Timestamp>();
    generator.subschema_for::<topic::Topic>();
    generator.subschema_for::<ids::CorrelationId>();
    generator.subschema_for::<ids::Offset>();
    let mut all = generator.take_definitions(true);
    let (mut client, mut server) = (Vec::new(), Vec::new());
    for (name, fields) in commands {
        client.push(definition_name("Client", name));
        all.insert(definition_name("Client", name), client_message(name, fields.to_value()));
    }
    for message in messages {
        server.push(definition_name("Server", message.name));
        all.insert(definition_name("Server", message.name), server_message(message));
    }
    all.values_mut().for_each(leave_out_null);
    Definitions { all, client, server }
}

/// `ClientHealthUpdate` for the client's `health_update`.
fn definition_name(side: &str, message_type: &str) -> String {
    let capitalised = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    side.to_owned() + &message_type.split('_').map(capitalised).collect::<String>()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// A command's own fields, and `type` and `correlation_id` beside them.
fn client_message(name: &str, mut schema: Value) -> Value {
    let alias = Command::ALIASES.iter().find(|(_, stands_for)| *stands_for == name);
    let message_type =
        alias.map_or_else(|| json!({ "const": name }), |(alias, _)| json!({ "enum": [name, alias] }));
    schema["properties"]["type"] = message_type;
    schema["properties"]["correlation_id"] = json!({
        "$ref": "#/$defs/CorrelationId",
        "description": "What the client calls the request; the reply repeats it.",
    });
    let mut required = required(&schema);
    for (_, field, alias) in Command::FIELD_ALIASES.iter().filter(|(command, ..)| *command == name) {
        let mut same = schema["properties"][field].clone();
        same["description"] = json!(format!("Another word for `{field}`."));
        schema["properties"][alias] = same;
        if let Some(at) = required.iter().position(|known| known == field) {
            required.remove(at);
            schema["oneOf"] = json!([{ "required": [field] }, { "required": [alias] }]);
        } else {
            schema["not"] = json!({ "required": [field, alias] });
        }
    }
    required.insert(0, json!("type"));
    schema["required"] = Value::Array(required);
    schema["title"] = json!(name);
    schema
}

fn required(schema: &Value) -> Vec<Value> {
    schema["required"].as_array().cloned().unwrap_or_default()
}

/// A server message's envelope around its data.
fn server_message(message: MessageSchema) -> Value {
    let MessageSchema { name, summary, occasion, data } = message;
    let mut schema = json!({
        "title": name,
        "description": summary,
        "type": "object",
        "properties": {
            "type": { "const": name },
            "timestamp": {
                "$ref": "#/$defs/Timestamp",
                "description": "When the server wrote it; for an event, when it was stored.",
            },
            "data": data,
        },
        "required": ["type", "timestamp", "data"],
    });
    match occasion {
        Occasion::Announcement => {}
        Occasion::Reply => {
            schema["properties"]["correlation_id"] = json!({
                "$ref": "#/$defs/CorrelationId",
                "description": "What the client called the request that this answers, if it did.",
            });
        }
        Occasion::Ephemeral => {
            schema["properties"]["topic"] =
                json!({ "$ref": "#/$defs/Topic", "description": "The topic that carries the event." });
            schema["required"] = json!(["type", "timestamp", "topic", "data"]);
        }
        Occasion::Event => {
            schema["properties"]["topic"] =
                json!({ "$ref": "#/$defs/Topic", "description": "The topic that carries the event." });
            schema["properties"]["offset"] = json!({ "$ref": "#/$defs/Offset", "minimum": 1, "description": "The event's place in its topic." });
            schema["required"] = json!(["type", "timestamp", "topic", "offset", "data"]);
        }
    }
    schema
}

/// An absent field is left out on this wire, never `null`: takes out what `Option` adds to a schema.
fn leave_out_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|known| known != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            object.values_mut().for_each(leave_out_null);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_null),
        _ => {}
    }
}

/// Indented, with sorted keys: the same bytes whatever features other crates turn on in `serde_json`.
fn written(value: Value) -> String {
    // Only maps with non-text keys fail to serialize, and a `Value` has none.
    serde_json::to_string_pretty(&sorted(value)).unwrap_or_default() + "\n"
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> = object.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
