//! What the commands of an administrator have in common: the settings they work with, and how they answer.

use std::sync::Arc;

use clap::Args;
use healthmate_care::By;
use healthmate_storage_sqlite::SqliteStore;
use serde::Serialize;

use super::failure::Failure;
use super::output;
use super::settings::{SettingsArgs, open_store, system_clock};

/// Who makes the changes of these commands.
pub(crate) fn by() -> By {
    By::command_line(system_clock().now())
}

/// What every command of an administrator takes.
#[derive(Args)]
pub(crate) struct AdminArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

impl AdminArgs {
    /// Opens the database that there is.
    pub(crate) fn store(&self) -> Result<Arc<SqliteStore>, Failure> {
        open_store(&self.settings.load()?, &system_clock())
    }

    /// Answers with `data` as JSON if that is asked for, and otherwise with `text`.
    pub(crate) fn answer(&self, data: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { output::json(data) } else { output::line(&text()) }
    }
}
