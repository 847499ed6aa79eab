//! `healthmate config`

use clap::{Args, Subcommand};
use healthmate_server::config::Overrides;
use serde_json::json;

use super::admin::AdminArgs;
use super::failure::Failure;
use super::output;

/// Check the settings, and show them with secrets left out
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  healthmate config check --config healthmate.toml
  HEALTHMATE_LOG__LEVEL=debug healthmate config show";

#[derive(Subcommand)]
enum Action {
    /// Say what is wrong with the settings, if anything is; exit code 2 then
    Check {
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Show every setting in force as TOML, secrets left out
    Show {
        #[command(flatten)]
        common: AdminArgs,
    },
}

impl Config {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Check { common } => check(&common),
            Action::Show { common } => show(&common),
        }
    }
}

fn check(common: &AdminArgs) -> Result<(), Failure> {
    match common.settings.load_with(Overrides::default()) {
        Ok(_) if common.json => output::json(&json!({ "ok": true, "problems": [] })),
        Ok(_) => output::line("the settings are good"),
        Err(error) if common.json => {
            let problem = |problem: &healthmate_server::config::Problem| json!({ "setting": problem.key, "source": problem.source, "message": problem.message });
            let problems: Vec<_> = error.problems.iter().map(problem).collect();
            output::json(&json!({ "ok": false, "problems": problems }))?;
            Err(Failure::Told)
        }
        Err(error) => Err(Failure::usage(error)),
    }
}

fn show(common: &AdminArgs) -> Result<(), Failure> {
    let settings = common.settings.load()?;
    common.answer(&settings.redacted(), || settings.redacted_toml().trim_end().to_owned())
}
