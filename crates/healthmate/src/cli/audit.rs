//! `healthmate audit`

mod fhir;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use healthmate_care::audit::{Checkpoint, FoundEntry, Verifier, hex};
use healthmate_care::{AuditAction, AuditEntry, AuditRecord};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_server::auth::audit_key;
use healthmate_storage::AuditTrail;
use healthmate_storage_sqlite::TrailReader;
use serde::Serialize;

use super::admin::{AdminArgs, by};
use super::failure::Failure;
use super::settings::require_database;
use super::{block_on, output};

/// How many records are read at once.
const PAGE: u32 = 5000;

/// Verify and export the audit trail
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  healthmate audit verify
  healthmate audit verify --data copy --public-key 3b6a… --checkpoints checkpoints.ndjson
  healthmate audit export --patient patient-1 > trail.ndjson
  healthmate audit export --format fhir --from 2026-11-01T00:00:00Z > events.ndjson";

#[derive(Subcommand)]
enum Action {
    /// Look for any change, removal, insertion or reordering; exit code 1 if there is one
    Verify(Verify),
    /// Write the trail to stdout; the export itself is recorded
    Export(Export),
}

#[derive(Args)]
struct Verify {
    /// Checkpoints that were kept elsewhere, a JSON object a line
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// The public key of the checkpoints, in hex; may be given more than once [default: that of the key file]
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    public_key: Vec<String>,
    #[command(flatten)]
    common: AdminArgs,
}

#[derive(Args)]
struct Export {
    /// How each record is written
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Only what concerns this patient
    #[arg(long)]
    patient: Option<UserId>,
    /// Only what was done at or after this time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only what was done before this time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    #[command(flatten)]
    common: AdminArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A JSON object a line, with its link
    Ndjson,
    /// An `AuditEvent` of FHIR R4 a line
    Fhir,
}

/// A public key as checkpoints name it: one that is none would verify nothing, and tell nobody.
fn public_key(text: &str) -> Result<String, String> {
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_key
        .then(|| text.to_ascii_lowercase())
        .ok_or_else(|| "a public key is 64 hexadecimal digits".to_owned())
}

impl Audit {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Verify(verify) => verify.run(),
            Action::Export(export) => export.run(),
        }
    }
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Verified {
            records: u64,
            checkpoints: usize,
        }
        let settings = self.common.settings.load()?;
        require_database(&settings)?;
        let mut keys = self.public_key;
        if keys.is_empty() {
            keys.extend(audit_key::existing(&settings).map_err(Failure::failed)?.map(|key| key.public()));
        }
        let reader = TrailReader::open(&settings.server.data).map_err(Failure::failed)?;
        let mut checkpoints = reader.checkpoints().map_err(Failure::failed)?;
        if let Some(file) = &self.checkpoints {
            checkpoints.extend(kept_elsewhere(file)?);
        }
        if keys.is_empty() && !checkpoints.is_empty() {
            return Err(Failure::usage(
                "there are checkpoints and no key file beside them: name the public key with --public-key",
            ));
        }
        let count = checkpoints.len();
        let verified = Verifier::new(checkpoints, &keys).map_err(Failure::failed)?;
        let records = verify(&reader, verified)?;
        if let Some(seq) = reader.left_out().map_err(Failure::failed)? {
            return Err(Failure::failed(format!("record {seq} is left out of its patient's access log")));
        }
        self.common.answer(&Verified { records, checkpoints: count }, || {
            format!("the audit trail is whole: {records} records, {count} checkpoints")
        })
    }
}

fn verify(reader: &TrailReader, mut verifier: Verifier) -> Result<u64, Failure> {
    let mut last = i64::MIN;
    loop {
        let rows: Vec<FoundEntry> = reader.after(last, PAGE).map_err(Failure::failed)?;
        let Some(row) = rows.last() else { return verifier.finish().map_err(Failure::failed) };
        last = row.seq;
        verifier.check(&rows).map_err(Failure::failed)?;
    }
}

/// The checkpoints of a file: its lines that are none are skipped, so that it may be a log.
fn kept_elsewhere(file: &Path) -> Result<Vec<Checkpoint>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
    let found: Vec<Checkpoint> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if found.is_empty() {
        return Err(Failure::failed(format!("{} holds no checkpoint", file.display())));
    }
    Ok(found)
}

impl Export {
    fn run(self) -> Result<(), Failure> {
        let store = self.common.store()?;
        block_on(async {
            let record = AuditRecord::new(by(), AuditAction::Exported).object("audit");
            let record = self.patient.iter().fold(record, AuditRecord::patient);
            store.audit(vec![record]).await.map_err(Failure::failed)?;
            let mut last = 0;
            loop {
                let page = store.audit_after(last, PAGE).await.map_err(Failure::failed)?;
                let Some(entry) = page.last() else { return Ok(()) };
                last = entry.seq;
                for entry in page.iter().filter(|entry| self.wants(entry)) {
                    match self.format {
                        Format::Ndjson => output::json(&Line::of(entry))?,
                        Format::Fhir => output::json(&fhir::event(entry))?,
                    }
                }
            }
        })
    }

    fn wants(&self, entry: &AuditEntry) -> bool {
        let AuditRecord { by, patient, .. } = &entry.record;
        (self.patient.is_none() || self.patient == *patient)
            && self.from.is_none_or(|from| by.at >= from)
            && self.to.is_none_or(|to| by.at < to)
    }
}

/// A record as a line of NDJSON.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: Timestamp,
    actor: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<String>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    outcome: &'static str,
    link: String,
}

impl<'a> Line<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        let AuditRecord { by, action, object, patient, reason, outcome } = &entry.record;
        Self {
            seq: entry.seq,
            at: by.at,
            actor: by.actor.kind(),
            user: by.actor.user(),
            role: by.actor.role().map(healthmate_care::Role::as_str),
            address: by.address.map(|address| address.to_string()),
            break_glass: by.break_glass.map(|id| id.to_string()),
            action: action.as_str(),
            object: object.as_deref(),
            patient: patient.as_ref(),
            reason: reason.as_deref(),
            outcome: outcome.as_str(),
            link: hex(&entry.link),
        }
    }
}
