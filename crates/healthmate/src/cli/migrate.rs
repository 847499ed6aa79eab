//! `healthmate migrate`

use clap::Args;
use healthmate_server::config::Settings;
use healthmate_storage::EventLog;
use healthmate_storage_sqlite::{MigrationStatus, migration_status, stored_epoch};
use serde_json::json;

use super::failure::Failure;
use super::settings::{SettingsArgs, open_or_make_store, open_store_alone, system_clock};
use super::{block_on, output};

/// Bring the database to this version's schema, or say how far it is
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Migrate {
    /// Change nothing; list the steps and whether the database has them
    #[arg(long)]
    status: bool,
    /// Give the store a new epoch, as is needed after a backup was restored; stop the server first
    #[arg(long, conflicts_with = "status")]
    new_epoch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

const EXAMPLES: &str = "\
A server does this itself when it starts. Examples:
  healthmate migrate --status
  healthmate migrate --new-epoch           after a backup was restored";

impl Migrate {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.settings.load()?;
        let epoch = if self.status {
            stored_epoch(&settings.server.data).map_err(Failure::failed)?
        } else if self.new_epoch {
            // A running server goes on with the epoch it read when it started.
            let store = open_store_alone(&settings, &system_clock())?;
            Some(block_on(async { store.renew_epoch().await.map_err(Failure::failed) })?)
        } else {
            Some(open_or_make_store(&settings, &system_clock())?.epoch())
        };
        let steps = migration_status(&settings.server.data).map_err(Failure::failed)?;
        if self.json {
            let step = |step: &MigrationStatus| json!({ "version": step.version, "name": step.name, "applied": step.applied });
            let steps: Vec<_> = steps.iter().map(step).collect();
            return output::json(&json!({ "migrations": steps, "epoch": epoch }));
        }
        self.tell(&settings, &steps, epoch.as_ref().map(ToString::to_string))
    }

    fn tell(
        &self,
        settings: &Settings,
        steps: &[MigrationStatus],
        epoch: Option<String>,
    ) -> Result<(), Failure> {
        if self.status {
            let row = |step: &MigrationStatus| {
                let state = if step.applied { "applied" } else { "pending" };
                [step.version.to_string(), state.to_owned(), step.name.to_owned()]
            };
            let rows: Vec<_> = steps.iter().map(row).collect();
            return output::line(&output::table(["step", "state", "brings"], &rows));
        }
        let folder = settings.server.data.display();
        let mut text = format!("the database in {folder} has this version's schema");
        if let Some(epoch) = epoch.filter(|_| self.new_epoch) {
            text = format!("{text}, and the new epoch {epoch}");
        }
        output::line(&text)
    }
}
