//! `[log]`: what is logged, and how.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::problem::Findings;

/// What is logged, and how. Logs go to standard error and hold no health data and no tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How much: `error`, `warn`, `info`, `debug` or `trace`, also by module: `info,healthmate_server=debug`.
    /// Default `info`.
    pub level: String,
    /// `text` for people or `json` for machines. Default `text`.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        // A filter takes any word as the name of a module: a lone word must be a level.
        let lone_word = !self.level.contains(['=', ',']);
        let known = ["off", "error", "warn", "info", "debug", "trace"].contains(&self.level.as_str());
        if (lone_word && !known) || EnvFilter::builder().parse(&self.level).is_err() {
            let message = format!(
                "`{}` must be error, warn, info, debug or trace, or a list by module such as \
                 info,healthmate_server=debug",
                self.level
            );
            found.add("log.level", message);
        }
    }
}
