//! The names of all settings, and the nearest one to a name that is none.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ENV_PREFIX, Settings};

/// How alike a wrong name must be to one that is suggested, 0 to 1.
const ALIKE: f64 = 0.7;

/// What a setting's value looks like, so that the text of an environment variable can become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    List,
}

/// Every setting by its name, such as `server.listen`. It is read off the defaults, so it cannot be out of date.
pub(super) fn settings() -> BTreeMap<String, Kind> {
    let Ok(Value::Object(sections)) = serde_json::to_value(Settings::default()) else {
        return BTreeMap::new();
    };
    let mut known = BTreeMap::new();
    for (section, value) in sections {
        match value {
            Value::Object(fields) => {
                known.extend(fields.iter().map(|(field, value)| (format!("{section}.{field}"), kind(value))));
            }
            value => {
                known.insert(section, kind(&value));
            }
        }
    }
    known
}

fn kind(default: &Value) -> Kind {
    match default {
        Value::Bool(_) => Kind::Flag,
        Value::Number(_) => Kind::Number,
        Value::Array(_) => Kind::List,
        // What is absent by default is a text or a path.
        Value::Null | Value::String(_) | Value::Object(_) => Kind::Text,
    }
}

/// The environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The setting whose name is nearest to `key`, if one is near. A field in the wrong section is near.
pub(super) fn nearest(key: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = |known: &str| {
        let whole = strsim::normalized_damerau_levenshtein(key, known);
        let field = strsim::normalized_damerau_levenshtein(&last(key), &last(known));
        // The whole name decides between two that have the same field.
        whole.max(field - 0.05) + whole * 0.01
    };
    let known = settings().into_keys().map(|known| (alike(&known), known));
    let (score, best) = known.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= ALIKE).then_some(best)
}

/// What is said of a name that is no setting.
pub(super) fn unknown_message(key: &str, show: impl Fn(&str) -> String) -> String {
    match nearest(key) {
        Some(near) => format!("no such setting; did you mean {}?", show(&near)),
        None => "no such setting; `healthmate config show` lists all".to_owned(),
    }
}
