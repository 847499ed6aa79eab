//! Whether a value conforms to a schema: the part of JSON Schema that our schemas use. A keyword it does not know
//! is a panic, so that none is ever skipped.

use serde_json::Value;

/// Words that say something to people only. `format` is checked for the one format that our own types parse.
const NOTES: [&str; 6] = ["description", "title", "default", "$schema", "$id", "$defs"];

/// What `reference` (`#/a/b`) names in `document`.
pub(super) fn follow<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

/// Every way in which `value` does not conform to `schema`.
pub(super) fn problems(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let keywords = match schema {
        Value::Bool(true) => return Vec::new(),
        Value::Object(keywords) => keywords,
        other => panic!("no schema: {other}"),
    };
    let mut found = Vec::new();
    for (keyword, expected) in keywords {
        if NOTES.contains(&keyword.as_str()) {
            continue;
        }
        let nested = |schema: &Value, value: &Value| problems(document, schema, value);
        let ok = match keyword.as_str() {
            "$ref" => {
                let target = follow(document, expected.as_str().expect("text")).expect("leads somewhere");
                found.extend(nested(target, value));
                true
            }
            "properties" => {
                for (name, schema) in expected.as_object().expect("an object") {
                    let problems = value.get(name).map(|value| nested(schema, value)).unwrap_or_default();
                    found.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
                }
                true
            }
            "items" => {
                found.extend(value.as_array().into_iter().flatten().flat_map(|item| nested(expected, item)));
                true
            }
            "additionalProperties" => {
                found.extend(
                    value.as_object().into_iter().flat_map(|o| o.values()).flat_map(|v| nested(expected, v)),
                );
                true
            }
            "oneOf" => {
                let choices = expected.as_array().expect("a list");
                choices.iter().filter(|choice| nested(choice, value).is_empty()).count() == 1
            }
            "not" => !nested(expected, value).is_empty(),
            _ => simple(keyword, expected, value),
        };
        if !ok {
            found.push(format!("{keyword} {expected} does not hold for {value}"));
        }
    }
    found
}

fn simple(keyword: &str, expected: &Value, value: &Value) -> bool {
    let count = expected.as_u64().map(|limit| limit as usize);
    match keyword {
        "type" => is_a(expected.as_str().expect("one type"), value),
        "const" => expected == value,
        "enum" => expected.as_array().expect("a list").contains(value),
        "required" => {
            let names = expected.as_array().expect("a list");
            names.iter().all(|name| value.get(name.as_str().expect("text")).is_some())
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= expected.as_f64().expect("a number")),
        "maximum" => value.as_f64().is_none_or(|number| number <= expected.as_f64().expect("a number")),
        "minLength" => value.as_str().is_none_or(|text| Some(text.chars().count()) >= count),
        "maxLength" => value.as_str().is_none_or(|text| Some(text.chars().count()) <= count),
        "minItems" => value.as_array().is_none_or(|items| Some(items.len()) >= count),
        "maxItems" => value.as_array().is_none_or(|items| Some(items.len()) <= count),
        "format" => match expected.as_str() {
            Some("date-time") => value.as_str().is_some_and(|text| text.parse::<crate::Timestamp>().is_ok()),
            Some("double" | "uint32" | "uint64") => value.is_number(),
            other => panic!("unknown format {other:?}"),
        },
        other => panic!("unknown keyword {other}"),
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        other => panic!("unknown type {other}"),
    }
}
