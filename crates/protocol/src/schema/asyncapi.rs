//! The AsyncAPI 3.0 document: where to connect, and which messages go each way.

use serde_json::{Map, Value, json};

use super::{Definitions, definition_name, definitions, written};
use crate::client::Command;
use crate::fixtures::{self, Fixture};
use crate::server::ServerMessage;

/// The endpoints: the channel's name, its address, and what it carries.
const CHANNELS: [(&str, &str, &str); 4] = [
    ("health", "/ws/health", "Health topics: `health:{patient}`."),
    ("chat", "/ws/chat", "Chat topics: `chat:{conversation}`. None is served yet."),
    ("notifications", "/ws/notifications", "Topics of notifications: `notifications:{user}`."),
    ("combined", "/ws/combined", "Topics of every kind over one connection."),
];

/// The protocol as an AsyncAPI 3.0 document, told from the server's side: it receives what clients send. The examples
/// are the fixtures. Ends with a line break.
pub fn asyncapi() -> String {
    let channels: Map<String, Value> = CHANNELS
        .iter()
        .map(|(name, address, carries)| ((*name).to_owned(), channel(address, carries)))
        .collect();
    let mut operations = Map::new();
    for (name, address, _) in CHANNELS {
        operations
            .insert(format!("{name}.receive"), operation("receive", name, address, "client", Command::NAMES));
        operations
            .insert(format!("{name}.send"), operation("send", name, address, "server", ServerMessage::NAMES));
    }
    let Definitions { all, .. } = definitions();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "HealthMate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The real-time protocol of HealthMate, `healthmate.v1`. `docs/protocol.md` explains it.",
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "local": server() },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages(),
            "schemas": all,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`Authorization: Bearer`, or the subprotocols `healthmate.v1` and `bearer.<JWT>`, \
                                    or the message `authenticate`. Never in the URL.",
                },
            },
        },
    });
    point_at_components(&mut document);
    written(document)
}

fn server() -> Value {
    json!({
        "host": "127.0.0.1:8080",
        "protocol": "ws",
        "description": "`healthmate serve` with its defaults; `wss` where TLS is configured.",
        "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
    })
}

fn channel(address: &str, carries: &str) -> Value {
    let names = |side, names: &[&str]| {
        let entry = |name: &&str| {
            let key = format!("{side}.{name}");
            let message = json!({ "$ref": format!("#/components/messages/{key}") });
            (key, message)
        };
        names.iter().map(entry).collect::<Vec<_>>()
    };
    let messages: Map<String, Value> =
        names("client", Command::NAMES).into_iter().chain(names("server", ServerMessage::NAMES)).collect();
    json!({
        "address": address,
        "description": carries,
        "messages": messages,
        "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
    })
}

fn operation(action: &str, channel: &str, address: &str, side: &str, names: &[&str]) -> Value {
    let message = |name: &&str| json!({ "$ref": format!("#/channels/{channel}/messages/{side}.{name}") });
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "summary": format!("What the {side} sends on {address}."),
        "messages": names.iter().map(message).collect::<Vec<_>>(),
    })
}

fn messages() -> Map<String, Value> {
    let sides = [
        ("client", "Client", Command::NAMES, fixtures::CLIENT),
        ("server", "Server", ServerMessage::NAMES, fixtures::SERVER),
    ];
    let mut messages = Map::new();
    for (side, prefix, names, examples) in sides {
        for name in names {
            let message = json!({
                "name": name,
                "title": name,
                "payload": { "$ref": format!("#/$defs/{}", definition_name(prefix, name)) },
                "examples": examples.iter().filter(|fixture| fixture.message_type() == *name).map(example).collect::<Vec<_>>(),
            });
            messages.insert(format!("{side}.{name}"), message);
        }
    }
    messages
}

fn example(fixture: &Fixture) -> Value {
    // A test reads every fixture, so that this is never null.
    let payload: Value = serde_json::from_str(fixture.text).unwrap_or_default();
    json!({ "name": fixture.name, "payload": payload })
}

/// JSON Schema keeps its definitions in `$defs`, AsyncAPI in `components/schemas`.
fn point_at_components(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" => {
                        *target = target.replace("#/$defs/", "#/components/schemas/");
                    }
                    other => point_at_components(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(point_at_components),
        _ => {}
    }
}
