//! Settings: their defaults, limits and sources.
//!
//! A setting comes from, in rising order of weight: its default, a TOML file, an environment variable
//! `HEALTHMATE_SECTION__NAME`, a flag. Unknown names stop the start and are told the nearest known one; every error
//! says where the value came from. `config.default.toml` shows every setting; a test keeps it true.
//!
//! To add a setting: add its field, default and range to its section under `config/`, and its lines to
//! `config.default.toml`.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use healthmate_storage::seal::{KEY_RING_FILE, KeySource};
use serde::{Deserialize, Serialize};

mod access;
mod audit;
mod auth;
mod issuers;
mod known;
mod limits;
mod log;
mod network;
mod passkeys;
mod problem;
mod secret;
mod server;
mod sessions;
mod sign_in;
mod sources;
mod storage;
mod telemetry;

pub use access::AccessSettings;
pub use audit::AuditSettings;
pub use auth::{AuthSettings, MIN_SECRET_BYTES};
pub use issuers::{IssuerSettings, MAX_ISSUERS, OnUnknownUser};
pub use limits::LimitSettings;
pub use log::{LogFormat, LogSettings};
pub use network::{Network, NetworkError};
pub use passkeys::{AllowedOrigins, PasskeySettings};
pub use problem::{ConfigError, Problem};
pub use secret::Secret;
pub use server::{ClientCertificates, ServerSettings, TlsVersion};
pub use sessions::SessionSettings;
pub use sign_in::SignInSettings;
pub use storage::StorageSettings;
pub use telemetry::TelemetrySettings;

use problem::Findings;

/// What the names of the server's environment variables start with.
pub const ENV_PREFIX: &str = "HEALTHMATE_";

/// The commented file of all settings at their defaults.
pub const DEFAULT_FILE: &str = include_str!("../config.default.toml");

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Serves the demo: seeded users whose tokens `/demo/sign-ins` gives to anyone who can reach the server, so only
    /// on a loopback address. Default false.
    pub demo: bool,
    /// Where the server listens and what it serves.
    pub server: ServerSettings,
    /// Whose tokens are good.
    pub auth: AuthSettings,
    /// Signing in with passwords, and the tokens that are given for it.
    pub sign_in: SignInSettings,
    /// Opening patients in an emergency, and who is told.
    pub access: AccessSettings,
    /// How much one client may ask for.
    pub limits: LimitSettings,
    /// What outlives a connection, and what is sent again.
    pub sessions: SessionSettings,
    /// What is kept, and how it is written.
    pub storage: StorageSettings,
    /// How the audit trail is kept.
    pub audit: AuditSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where traces and logs go besides standard error.
    pub telemetry: TelemetrySettings,
}

/// What the command line says over file and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`: `server.listen`.
    pub listen: Option<String>,
    /// `--data`: `server.data`.
    pub data: Option<PathBuf>,
    /// `--demo`: sets `demo`.
    pub demo: bool,
}

impl Settings {
    /// Reads the settings from a TOML file, if one is named, environment variables and flags.
    ///
    /// # Errors
    /// If the file cannot be read, a name is unknown, a value is of the wrong kind or past its limit, or two values
    /// contradict each other; all that was found is in the error.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut sources: Vec<_> =
            file.and_then(|path| sources::file(path, &mut problems)).into_iter().collect();
        sources.extend(sources::environment(environment, &mut problems));
        sources.extend(sources::flags(overrides));
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        // Only what has a value: an absent text has no place in the sources.
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        for source in sources {
            figment = figment.merge(source);
        }
        let settings: Self = figment.extract().map_err(wrong_kind)?;
        settings.check(|key| figment.find_metadata(key).map(|metadata| metadata.name.to_string()))?;
        Ok(settings)
    }

    /// Checks ranges and contradictions.
    ///
    /// # Errors
    /// If a value is past its limit or contradicts another; all that was found is in the error.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check(|_| None)
    }

    /// Where the keys of data at rest are.
    pub fn key_source(&self) -> KeySource {
        let StorageSettings { keys, key_ring, .. } = &self.storage;
        match keys {
            Some(keys) => KeySource::Text(keys.expose().to_owned().into()),
            None => KeySource::File(key_ring.clone().unwrap_or_else(|| self.server.data.join(KEY_RING_FILE))),
        }
    }

    /// The settings with secrets left out, as JSON.
    pub fn redacted(&self) -> serde_json::Value {
        // Only maps with non-text keys fail to serialize.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The settings with secrets left out, as TOML. What has no value is left out.
    pub fn redacted_toml(&self) -> String {
        // Only maps with non-text keys fail to serialize.
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self, source_of: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let mut found = Findings::default();
        self.server.check(&mut found);
        self.auth.check(&mut found);
        self.check_passkeys(&mut found);
        self.sign_in.check(&mut found);
        self.access.check(&mut found);
        self.limits.check(&mut found);
        self.sessions.check(&mut found);
        self.storage.check(&mut found);
        self.audit.check(&mut found);
        self.log.check(&mut found);
        self.telemetry.check(&mut found);
        if self.demo && !self.server.listen.ip().is_loopback() {
            let message = format!(
                "is {}, must be a loopback address such as 127.0.0.1 with demo = true, which gives its tokens to \
                 anyone who can reach it",
                self.server.listen
            );
            found.add("server.listen", message);
        }
        let problem = |(key, message): (&str, String)| {
            let source =
                source_of(key).filter(|name| !name.contains("Settings")).unwrap_or("default".to_owned());
            Problem { key: key.to_owned(), source, message }
        };
        let problems: Vec<_> = found.0.into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

/// Whether the value of this setting is not repeated in errors.
fn is_secret(key: &str) -> bool {
    ["auth.jwt_secret", "storage.keys"].contains(&key)
        || (key.starts_with("auth.issuers.") && key.ends_with("secret"))
}

fn wrong_kind(error: figment::Error) -> ConfigError {
    let problem = |error: figment::Error| {
        let key = error.path.join(".");
        let source =
            error.metadata.as_ref().map_or("default".to_owned(), |metadata| metadata.name.to_string());
        let is_issuer = key.strip_prefix("auth.issuers").is_some_and(|place| place.matches('.').count() < 2);
        let message = if is_issuer && matches!(error.kind, figment::error::Kind::InvalidType(..)) {
            "must be tables, each an issuer, as config.default.toml shows".to_owned()
        } else if is_secret(&key) {
            "must be a text".to_owned()
        } else {
            error.kind.to_string()
        };
        Problem { key, source, message }
    };
    ConfigError { problems: error.into_iter().map(problem).collect() }
}

#[cfg(test)]
mod tests;
