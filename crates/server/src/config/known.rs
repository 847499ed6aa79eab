//! The names of all settings, and the nearest one to a name that is none.

use std::collections::BTreeMap;

use figment::value::Dict;
use serde_json::Value;

use super::problem::Problem;
use super::{ENV_PREFIX, Settings, issuers};

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
    let mut known = BTreeMap::new();
    add("", &serde_json::to_value(Settings::default()).unwrap_or_default(), &mut known);
    known
}

/// Adds what is set in the section of this name, and in those inside it.
fn add(section: &str, value: &Value, known: &mut BTreeMap<String, Kind>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(field, value)| {
            let dot = if section.is_empty() { "" } else { "." };
            add(&format!("{section}{dot}{field}"), value, known);
        }),
        value => {
            known.insert(section.to_owned(), kind(value));
        }
    }
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

/// What in the tables of `auth.issuers` is no setting of an issuer.
pub(super) fn unknown_fields_of_issuers(values: &Dict) -> Vec<Problem> {
    let tables = values.get("auth").and_then(|auth| auth.as_dict()?.get("issuers")?.as_array());
    let tables = tables.into_iter().flatten().enumerate();
    let fields = tables.filter_map(|(place, table)| Some((place, table.as_dict()?)));
    let names = fields.flat_map(|(place, table)| table.keys().map(move |field| (place, field)));
    let unknown = names.filter(|(_, field)| !issuers::FIELDS.contains(&field.as_str()));
    let problem = |(place, field): (usize, &String)| {
        let alike = |known: &&&str| (strsim::normalized_damerau_levenshtein(field, known) * 1000.0) as u32;
        let near =
            issuers::FIELDS.iter().max_by_key(alike).filter(|near| f64::from(alike(near)) >= ALIKE * 1000.0);
        let message = match near {
            Some(near) => format!("no such setting; did you mean {near}?"),
            None => format!("no such setting; an issuer has {}", issuers::FIELDS.join(", ")),
        };
        Problem { key: format!("auth.issuers.{place}.{field}"), source: String::new(), message }
    };
    unknown.map(problem).collect()
}
