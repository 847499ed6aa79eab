//! Where settings are said: a TOML file, environment variables, flags.

use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::known::{self, Kind};
use super::problem::Problem;
use super::{ENV_PREFIX, Overrides};

/// Settings from one place, with its name, so that an error can say where the value came from.
pub(super) struct Source {
    name: String,
    values: Dict,
}

impl Provider for Source {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// Reads the file and checks the names in it.
pub(super) fn file(path: &Path, problems: &mut Vec<Problem>) -> Option<Source> {
    let name = format!("file {}", path.display());
    let mut whole = |message: String| {
        problems.push(Problem { key: String::new(), source: name.clone(), message });
        None
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return whole(format!("cannot be read: {error}")),
    };
    let values: Dict = match toml::from_str(&text) {
        Ok(values) => values,
        Err(error) => return whole(syntax(&text, &error)),
    };
    let mut found = Vec::new();
    names("", &values, &mut found);
    for key in found {
        if !known::settings().contains_key(&key) {
            let message = known::unknown_message(&key, str::to_owned);
            problems.push(Problem { key, source: name.clone(), message });
        }
    }
    for field in known::unknown_fields_of_issuers(&values) {
        problems.push(Problem { source: name.clone(), ..field });
    }
    Some(Source { name, values })
}

/// The parser's own text shows the line, which may hold a secret: this shows only its number.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {} is not valid TOML: {}", before.matches('\n').count() + 1, message)
}

/// The names of the settings in a section of a file: `section.field`, or the name of what is no section.
fn names(section: &str, values: &Dict, found: &mut Vec<String>) {
    let known = known::settings();
    let is_section =
        |name: &str| known.keys().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
    for (field, value) in values {
        let name = if section.is_empty() { field.clone() } else { format!("{section}.{field}") };
        match value.as_dict() {
            Some(fields) if is_section(&name) => names(&name, fields, found),
            // A section that is none: its fields may be near to some that are.
            Some(fields) if !fields.is_empty() && !known.contains_key(&name) => names(&name, fields, found),
            // `server = 1`: the type error names it.
            None if is_section(&name) => {}
            _ => found.push(name),
        }
    }
}

/// Reads the environment and checks the names in it. A name with `__` after the prefix is a setting's, and so is one
/// that would be if its `_` were `__`; others, such as a client's `HEALTHMATE_TOKEN`, are not the server's.
pub(super) fn environment(
    variables: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) -> Vec<Source> {
    let known = known::settings();
    let mut sources = Vec::new();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let key = rest.to_lowercase().replace("__", ".");
        let name = format!("environment variable {variable}");
        let found = known.get(&key).filter(|_| variable == known::variable(&key));
        if let Some(kind) = found {
            sources.push(Source { name, values: nested(&key, parse(*kind, value)) });
        } else if rest.contains("__")
            || known.keys().any(|known| known.replace('.', "_") == rest.to_lowercase())
        {
            let message = known::unknown_message(&key, known::variable);
            problems.push(Problem { key: String::new(), source: name, message });
        }
    }
    sources
}

/// The text of a variable as the setting's kind of value. What does not fit stays text, and is refused by its type.
fn parse(kind: Kind, text: String) -> Value {
    match kind {
        Kind::Text => Value::from(text),
        Kind::Number => text.trim().parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Kind::Flag => text.trim().parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        Kind::List => {
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            Value::from(entries.collect::<Vec<_>>())
        }
    }
}

/// What the command line says.
pub(super) fn flags(overrides: Overrides) -> Vec<Source> {
    let Overrides { listen, data, demo } = overrides;
    let source = |flag: &str, key, value| Source { name: format!("flag {flag}"), values: nested(key, value) };
    let mut sources = Vec::new();
    if let Some(listen) = listen {
        sources.push(source("--listen", "server.listen", Value::from(listen)));
    }
    if let Some(data) = data {
        sources.push(source("--data", "server.data", Value::from(data.display().to_string())));
    }
    if demo {
        sources.push(source("--demo", "demo", Value::from(true)));
    }
    sources
}

fn nested(key: &str, value: Value) -> Dict {
    figment::util::nest(key, value).into_dict().unwrap_or_default()
}
