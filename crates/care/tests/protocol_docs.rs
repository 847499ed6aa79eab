//! Writes the generated parts of `docs/protocol.md`, and fails when they are stale.
//!
//! They stand between `<!-- generated:NAME -->` and `<!-- /generated -->`. `make generate` writes them anew. They
//! live with `care`, which knows the metrics as well as the wire.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;

use healthmate_care::{Metric, Waveform};
use healthmate_protocol::fixtures::{self, Fixture};
use healthmate_protocol::{ClientMessage, CloseCode, Command, Envelope, ErrorCode, ServerMessage, schema};
use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");

/// The objects inside messages, in the order of the page.
const OBJECTS: [&str; 9] = [
    "MeasurementInput",
    "MeasurementData",
    "OriginalQuantity",
    "NotificationData",
    "MeasurementReceipt",
    "RecordedMeasurement",
    "SubscribeSince",
    "WaveformInput",
    "Present",
];

/// The kinds of text and number, in the order of the page.
const WORDS: [&str; 10] = [
    "Timestamp",
    "TopicName",
    "Topic",
    "Offset",
    "Epoch",
    "UserId",
    "SessionId",
    "CorrelationId",
    "ClientId",
    "NotificationId",
];

#[test]
fn the_generated_parts_of_the_page_are_current() {
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let fresh = renewed(&page);
    if std::env::var_os("HEALTHMATE_GENERATE").is_some() {
        std::fs::write(PAGE, &fresh).expect("the page can be written");
    } else {
        assert!(page == fresh, "docs/protocol.md is stale: run `make generate`");
    }
}

/// The page with every generated part written anew.
fn renewed(page: &str) -> String {
    let schema: Value = serde_json::from_str(&schema::json_schema()).expect("JSON");
    let defs = &schema["$defs"];
    let (mut fresh, mut rest, mut parts) = (String::new(), page, 0);
    while let Some((before, after)) = rest.split_once("<!-- generated:") {
        let (name, after) = after.split_once(" -->").expect("the marker ends");
        let (_, after) = after.split_once("<!-- /generated -->").expect("the part ends");
        write!(fresh, "{before}<!-- generated:{name} -->\n\n{}\n<!-- /generated -->", part(name, defs))
            .expect("text");
        (rest, parts) = (after, parts + 1);
    }
    assert_eq!(parts, 8, "a generated part is missing from the page");
    fresh + rest
}

/// What belongs between the markers of this name.
fn part(name: &str, defs: &Value) -> String {
    match name {
        "client-messages" => messages(defs, "ClientMessage", "client", Command::NAMES, fixtures::CLIENT),
        "server-messages" => {
            messages(defs, "ServerMessage", "server", ServerMessage::NAMES, fixtures::SERVER)
        }
        "objects" => objects(defs),
        "words" => words(defs),
        "error-codes" => error_codes(),
        "close-codes" => close_codes(),
        "metrics" => metrics(),
        "waveforms" => waveforms(),
        other => panic!("nothing generates {other}"),
    }
}

/// A heading, what it means, its fields and an example, for each message of one side.
fn messages(defs: &Value, side: &str, folder: &str, names: &[&str], examples: &[Fixture]) -> String {
    let choices = defs[side]["oneOf"].as_array().expect("a list");
    let mut out = String::new();
    for (choice, name) in choices.iter().zip(names) {
        let message = &defs[referred(choice).expect("a reference")];
        let examples: Vec<&Fixture> =
            examples.iter().filter(|fixture| fixture.message_type() == *name).collect();
        let plain = examples.iter().find(|fixture| fixture.name == *name).expect("every message has one");
        writeln!(out, "### `{name}`\n\n{}{}\n", text(&message["description"]), other_words(name))
            .expect("text");
        // A client's fields lie flat; the server's in `data`.
        let payload =
            if side == "ClientMessage" { message } else { followed(defs, &message["properties"]["data"]) };
        out += &fields(defs, payload);
        writeln!(out, "```json\n{}\n```\n", plain.text.trim_end()).expect("text");
        let more: Vec<String> = examples
            .iter()
            .filter(|fixture| fixture.name != *name)
            .map(|fixture| {
                let file = format!("../crates/protocol/fixtures/{folder}/{}.json", fixture.name);
                format!("[{}]({file})", fixture.variant())
            })
            .collect();
        if !more.is_empty() {
            writeln!(out, "More examples: {}.\n", more.join(" · ")).expect("text");
        }
    }
    out
}

fn other_words(name: &str) -> String {
    let alias = Command::ALIASES.iter().find(|(_, stands_for)| *stands_for == name);
    alias.map_or_else(String::new, |(alias, _)| format!(" `{alias}` means the same."))
}

fn objects(defs: &Value) -> String {
    OBJECTS.iter().fold(String::new(), |mut out, name| {
        writeln!(out, "### {name}\n\n{}\n", text(&defs[name]["description"])).expect("text");
        out + &fields(defs, &defs[name])
    })
}

fn words(defs: &Value) -> String {
    let mut out = "| name | form |\n|---|---|\n".to_owned();
    for name in WORDS {
        let def = &defs[name];
        let length =
            def["maxLength"].as_u64().map_or_else(String::new, |max| format!("1 to {max} characters: "));
        writeln!(out, "| {name} | {length}{} |", text(&def["description"])).expect("text");
    }
    out
}

/// The table of an object's fields. Left to the page's prose: those of every message, and other words for a field.
fn fields(defs: &Value, object: &Value) -> String {
    let another_word = |name: &str| Command::FIELD_ALIASES.iter().any(|(.., alias)| *alias == name);
    let own = |name: &&String| !["type", "correlation_id"].contains(&name.as_str()) && !another_word(name);
    let properties = object["properties"].as_object();
    let mut names: Vec<&String> = properties.into_iter().flat_map(|all| all.keys()).filter(own).collect();
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().map(text).collect();
    let place = |name: &str| required.iter().position(|known| *known == name).unwrap_or(usize::MAX);
    names.sort_by_key(|name| place(name));
    if names.is_empty() {
        return "No fields of its own.\n\n".to_owned();
    }
    let alternatives: Vec<&str> =
        object["oneOf"].as_array().into_iter().flatten().map(|choice| text(&choice["required"][0])).collect();
    let mut out = "| field | type | | |\n|---|---|---|---|\n".to_owned();
    for name in names {
        let field = &object["properties"][name];
        let needed = match alternatives.contains(&name.as_str()) {
            // One of a field and another word for it: the field is needed.
            true if alternatives.iter().any(|other| another_word(other)) => "required",
            true => "one of these",
            false if place(name) == usize::MAX => "optional",
            false => "required",
        };
        let meaning = text(&field["description"]).replace('\n', " ");
        writeln!(out, "| `{name}` | {} | {needed} | {meaning} |", kind(defs, field)).expect("text");
    }
    out + "\n"
}

/// What a field holds, in words, with a link where the page says more.
fn kind(defs: &Value, field: &Value) -> String {
    if let Some(name) = referred(field) {
        return match name {
            "ErrorCode" => "[code](#error-codes)".to_owned(),
            _ if OBJECTS.contains(&name) => format!("[{name}](#{})", name.to_lowercase()),
            _ if WORDS.contains(&name) => format!("[{name}](#words-and-numbers)"),
            _ => choices(&defs[name]).unwrap_or_else(|| text(&defs[name]["description"]).to_owned()),
        };
    }
    let limits = |low: &str, high: &str| match (field[low].as_u64(), field[high].as_u64()) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        _ => String::new(),
    };
    if field["oneOf"][1]["const"].is_null() && field["oneOf"][0]["type"] == "number" {
        return "number or `null`".to_owned();
    }
    match text(&field["type"]) {
        "array" => format!("list of {}{}", kind(defs, &field["items"]), limits("minItems", "maxItems")),
        "object" => format!("object, each value of it {}", kind(defs, &field["additionalProperties"])),
        "integer" => format!("integer{}", limits("minimum", "maximum")),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

/// `"complete"` or `"gap"`, for a type that is one of a few words.
fn choices(def: &Value) -> Option<String> {
    let words = def["oneOf"].as_array()?.iter().map(|choice| format!("`{}`", text(&choice["const"])));
    Some(words.collect::<Vec<_>>().join(" or "))
}

fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// What a schema refers to, or itself.
fn followed<'a>(defs: &'a Value, schema: &'a Value) -> &'a Value {
    referred(schema).map_or(schema, |name| &defs[name])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn error_codes() -> String {
    let mut out = "| code | retry | what happened | what to do |\n|---|---|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        let retry = yes_or_no(code.retry());
        writeln!(out, "| `{}` | {retry} | {} | {} |", code.as_str(), code.meaning(), code.remedy())
            .expect("text");
    }
    out
}

fn close_codes() -> String {
    let mut out = "| code | come back | what happened |\n|---|---|---|\n".to_owned();
    for code in CloseCode::ALL {
        let back = yes_or_no(code.come_back());
        writeln!(out, "| {} | {back} | {} |", code.as_u16(), code.meaning()).expect("text");
    }
    out
}

fn metrics() -> String {
    let mut out =
        "| metric | stored in | taken from | to | units taken |\n|---|---|---|---|---|\n".to_owned();
    for metric in Metric::ALL {
        let (low, high) = metric.plausible();
        let units: Vec<String> = metric.spellings().map(|unit| format!("`{unit}`")).collect();
        let unit = metric.unit();
        writeln!(out, "| `{metric}` | `{unit}` | {low} | {high} | {} |", units.join(", ")).expect("text");
    }
    out
}

fn waveforms() -> String {
    let mut out = "| waveform | unit | from | to |\n|---|---|---|---|\n".to_owned();
    for waveform in Waveform::all() {
        let (low, high) = waveform.plausible();
        writeln!(out, "| `{waveform}` | `{}` | {low} | {high} |", waveform.unit()).expect("text");
    }
    out
}

#[test]
fn every_message_shown_on_the_page_is_one() {
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (mut sent, mut received) = (0, 0);
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("→ ") {
            assert!(ClientMessage::parse(text).is_ok(), "no client can send {text}");
            sent += 1;
        }
        if let Some(text) = line.strip_prefix("← ") {
            let envelope = Envelope::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(envelope.to_text(), text);
            received += 1;
        }
    }
    assert_eq!((sent, received), (3, 7), "the page promises a session in ten messages");
}
