//! `healthmate keys`

use clap::{Args, Subcommand};
use healthmate_storage::seal::KeyId;
use healthmate_storage_sqlite::{RingKeyStatus, SqliteStore};
use serde::Serialize;

use super::admin::{AdminArgs, by};
use super::failure::Failure;
use super::{block_on, output};

/// Look at the keys that seal data at rest, and change them while the server serves
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Back the key ring up, apart from the database: without it nothing can be read. Examples:
  healthmate keys show
  healthmate keys rotate
  healthmate keys retire k5f0a1b2c3       after its last backup is gone, too";

#[derive(Subcommand)]
enum Action {
    /// List the keys, and how many data keys each wraps; never a key itself
    Show {
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Make a new key the active one, and wrap all data keys with it; finishes a rotation that was stopped
    Rotate {
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Take a key out of the ring that wraps nothing any more
    Retire {
        /// The key
        #[arg(value_parser = key_id)]
        id: KeyId,
        #[command(flatten)]
        common: AdminArgs,
    },
}

fn key_id(text: &str) -> Result<KeyId, String> {
    text.parse().map_err(|error: healthmate_storage::seal::RingError| error.to_string())
}

/// A key as `--json` prints it.
#[derive(Serialize)]
struct Shown {
    id: String,
    made_at: String,
    active: bool,
    data_keys: u64,
}

impl Keys {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Show { common } => show(&common),
            Action::Rotate { common } => rotate(&common),
            Action::Retire { id, common } => retire(&id, &common),
        }
    }
}

fn keys(store: &SqliteStore) -> Result<Vec<Shown>, Failure> {
    let keys = block_on(async { store.keys().await.map_err(Failure::failed) })?;
    let shown = |key: RingKeyStatus| Shown {
        id: key.id.to_string(),
        made_at: key.made_at.to_string(),
        active: key.active,
        data_keys: key.data_keys,
    };
    Ok(keys.into_iter().map(shown).collect())
}

fn show(common: &AdminArgs) -> Result<(), Failure> {
    let keys = keys(&*common.store()?)?;
    common.answer(&keys, || {
        let state = |key: &Shown| if key.active { "active".to_owned() } else { "old".to_owned() };
        let row = |key: &Shown| [key.id.clone(), key.made_at.clone(), state(key), key.data_keys.to_string()];
        let rows: Vec<_> = keys.iter().map(row).collect();
        output::table(["id", "made", "state", "data keys"], &rows)
    })
}

fn rotate(common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Rotated {
        active: String,
        rewrapped: u64,
        resumed: bool,
    }
    let store = common.store()?;
    let done = block_on(async { store.rotate_keys(by()).await.map_err(Failure::failed) })?;
    let done = Rotated { active: done.active.to_string(), rewrapped: done.rewrapped, resumed: done.resumed };
    common.answer(&done, || {
        let what = if done.resumed { "finished the rotation to" } else { "rotated to" };
        format!(
            "{what} {}: {} data keys wrapped anew\nBack the key ring up now, apart from the database",
            done.active, done.rewrapped
        )
    })
}

fn retire(id: &KeyId, common: &AdminArgs) -> Result<(), Failure> {
    let store = common.store()?;
    block_on(async { store.retire_key(id, by()).await.map_err(Failure::failed) })?;
    common.answer(&serde_json::json!({ "retired": id.as_str() }), || format!("retired {id}"))
}
