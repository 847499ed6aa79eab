//! `healthmate erase`

use std::io::{BufRead, Write};

use clap::Args;
use healthmate_protocol::UserId;
use healthmate_storage::{AUDIT_KEPT, Erasure, Error};
use serde_json::{Map, json};

use super::admin::{AdminArgs, by};
use super::block_on;
use super::failure::Failure;

/// Erase a patient for good: data, devices, care team, credentials
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Erase {
    /// The patient
    patient: UserId,
    /// Do not ask for the id again
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: AdminArgs,
}

const EXAMPLES: &str = "\
It works while the server serves, and again after a crash in between. Backups still hold what they hold. Examples:
  healthmate erase patient-7
  healthmate erase patient-7 --yes --json";

impl Erase {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self { patient, yes, common } = self;
        let store = common.store()?;
        if !yes {
            confirm(&patient)?;
        }
        let erased = block_on(async {
            store.erase(&patient, by()).await.map_err(|error| match error {
                Error::NotFound(_) => Failure::failed(format!("there is no patient {patient}")),
                error => Failure::failed(error),
            })
        })?;
        let rows: Map<_, _> =
            erased.rows.iter().map(|(what, rows)| ((*what).to_owned(), json!(rows))).collect();
        let kept = json!({ "rows": erased.audit_kept, "reason": AUDIT_KEPT });
        let data = json!({ "patient": patient, "erased_at": erased.at, "already": erased.before, "erased": rows,
            "kept": { "audit": kept } });
        common.answer(&data, || {
            let done = if erased.before { "had been erased at" } else { "is erased since" };
            let mut lines = vec![format!("{patient} {done} {}", erased.at)];
            lines.extend(erased.rows.iter().map(|(what, rows)| format!("erased  {rows:>8} {what}")));
            lines.push(format!("kept    {:>8} audit: {AUDIT_KEPT}", erased.audit_kept));
            lines.join("\n")
        })
    }
}

fn confirm(patient: &UserId) -> Result<(), Failure> {
    // Stdout is for the answer, which may be JSON. Nobody reads stderr: then nobody types the id.
    let _ = writeln!(std::io::stderr(), "This cannot be undone. Type the patient's id to erase {patient}:");
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    read.map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
    if typed.trim() == patient.as_str() {
        Ok(())
    } else {
        Err(Failure::usage("that is another id: nothing was erased"))
    }
}
