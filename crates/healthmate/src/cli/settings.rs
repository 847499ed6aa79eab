//! The settings a command works with, and what they lead to: the store and the secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use healthmate_care::{Clock, SystemClock};
use healthmate_server::auth::{TokenVerifier, secret};
use healthmate_server::config::{ConfigError, ENV_PREFIX, Overrides, Problem, Settings};
use healthmate_storage_sqlite::{Options, SqliteStore, migration_status};

use super::failure::Failure;

/// Where the settings are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SettingsArgs {
    /// Folder of the database and the secret [default: healthmate-data]
    #[arg(long, value_name = "DIR", help_heading = "Settings")]
    data: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    #[arg(help = "TOML file with settings; each is also an environment variable HEALTHMATE_SECTION__NAME")]
    config: Option<PathBuf>,
}

impl SettingsArgs {
    /// Reads the settings from flags, environment and file.
    pub(crate) fn load(&self) -> Result<Settings, Failure> {
        self.load_with(Overrides::default()).map_err(Failure::usage)
    }

    /// The same, with what other flags say.
    pub(crate) fn load_with(&self, overrides: Overrides) -> Result<Settings, ConfigError> {
        let overrides = Overrides { data: self.data.clone(), ..overrides };
        if self.data.as_ref().is_some_and(|data| data.to_str().is_none()) {
            return Err(not_utf8("server.data", "flag --data".to_owned()).into());
        }
        // A variable whose name is no text cannot name a setting.
        let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut environment = Vec::new();
        for (name, value) in named.filter(|(name, _)| name.starts_with(ENV_PREFIX)) {
            let text = value.into_string();
            let text = text.map_err(|_| not_utf8("", format!("environment variable {name}")))?;
            environment.push((name, text));
        }
        let environment = environment.into_iter();
        Settings::load(self.config.as_deref(), environment, overrides)
    }

    /// The file, if one was named.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Whether a data folder was named.
    pub(crate) fn names_data(&self) -> bool {
        self.data.is_some()
    }
}

/// Left out in silence, it would be as if it had not been set.
fn not_utf8(key: &str, source: String) -> Problem {
    Problem { key: key.to_owned(), source, message: "is not UTF-8".to_owned() }
}

/// The machine's clock.
pub(crate) fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

/// Opens the database of the data folder, beside a server that may be running. Makes none: a folder without one is
/// most likely mistyped.
pub(crate) fn open_store(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<SqliteStore>, Failure> {
    require_database(settings)?;
    open(settings, clock, false)
}

/// The same, unless a server has it.
pub(crate) fn open_store_alone(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<SqliteStore>, Failure> {
    require_database(settings)?;
    open(settings, clock, true)
}

/// The same as [`open_store`], and makes the folder and its database where there is none yet.
pub(crate) fn open_or_make_store(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<SqliteStore>, Failure> {
    open(settings, clock, false)
}

/// Goes on only if there is a database in the data folder.
pub(crate) fn require_database(settings: &Settings) -> Result<(), Failure> {
    let folder = &settings.server.data;
    // What cannot be read is there; opening it says what is wrong with it.
    let is_empty = migration_status(folder).is_ok_and(|steps| steps.iter().all(|step| !step.applied));
    if !is_empty {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "there is no database in {}: name the data folder of the server with --data, or make a database there with \
         `healthmate serve`, `healthmate migrate` or `healthmate user add`",
        folder.display()
    )))
}

fn open(settings: &Settings, clock: &Arc<dyn Clock>, exclusive: bool) -> Result<Arc<SqliteStore>, Failure> {
    let keys = Some(settings.key_source());
    let options = Options { exclusive, keys, ..Options::default() };
    SqliteStore::open(&settings.server.data, &options, Arc::clone(clock)).map_err(Failure::failed)
}

/// Makes tokens the server of these settings takes. The secret is made if there is none yet.
pub(crate) fn signer(settings: &Settings, clock: &dyn Clock) -> Result<TokenVerifier, Failure> {
    let secret = secret::load_or_create(settings, clock).map_err(Failure::failed)?;
    TokenVerifier::with_issuers(&settings.auth, &secret).map_err(Failure::failed)
}

/// The same, if there is a secret; makes none.
pub(crate) fn existing_signer(settings: &Settings) -> Result<Option<TokenVerifier>, Failure> {
    let file = settings.server.data.join(secret::FILE_NAME);
    if settings.auth.jwt_secret.is_none() && !file.exists() {
        return Ok(None);
    }
    signer(settings, system_clock().as_ref()).map(Some)
}
