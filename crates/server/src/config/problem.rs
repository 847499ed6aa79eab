//! What is wrong with settings, and where it was said.

use std::fmt;
use std::ops::RangeInclusive;

/// Why the server does not start with these settings: everything that is wrong, not only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, such as `server.listen`; empty if the whole source is wrong.
    pub key: String,
    /// Where it was said: `file healthmate.toml`, `environment variable HEALTHMATE_…`, `flag --listen`, or
    /// `default`.
    pub source: String,
    /// What is wrong with it, and the limit.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, source, message } = self;
        if key.is_empty() {
            write!(f, "{source}: {message}")
        } else {
            write!(f, "{key} ({source}): {message}")
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => only.fmt(f),
            all => {
                write!(f, "{} problems with the settings", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// What the checks of the sections found: settings and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<(&'static str, String)>);

impl Findings {
    pub(super) fn add(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push((key, message.into()));
    }

    pub(super) fn range(&mut self, key: &'static str, value: u32, range: RangeInclusive<u32>, unit: &str) {
        if !range.contains(&value) {
            let space = if unit.is_empty() { "" } else { " " };
            self.add(key, format!("is {value}, must be {} to {}{space}{unit}", range.start(), range.end()));
        }
    }
}
