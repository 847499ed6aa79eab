//! Sealing what an earlier version wrote in plain text: once, before the database is served.
//!
//! It goes in small transactions, and what is sealed is sealed: after a crash the next start goes on. Then the file is
//! written anew, because pages that were rewritten long ago still hold what once stood there.

use healthmate_protocol::UserId;
use healthmate_storage::payload;
use healthmate_storage::seal::SealedColumn;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::failure::Failure;
use crate::queries::{rows, user_id};
use crate::sealer::Sealer;
use crate::writer::devices::Devices;

const DONE: &str = "SELECT done FROM sealing";
const IS_DONE: &str = "UPDATE sealing SET done = 1";
const HAS_USERS: &str = "SELECT EXISTS (SELECT 1 FROM user)";
const NAMES: &str =
    "SELECT u.key, u.id, p.name FROM plain_name AS p JOIN user AS u ON u.key = p.user LIMIT 500";
const SET_NAME: &str = "UPDATE user SET name = ?2 WHERE key = ?1";
const FORGET_NAME: &str = "DELETE FROM plain_name WHERE user = ?1";
const MEASUREMENTS: &str = "SELECT m.patient, m.taken_at, m.offset, u.id, m.plain_device
    FROM measurement AS m CROSS JOIN user AS u ON u.key = m.patient
    WHERE (m.patient, m.taken_at, m.offset) > (?1, ?2, ?3) AND m.plain_device IS NOT NULL
    ORDER BY m.patient, m.taken_at, m.offset LIMIT 2000";
const SET_DEVICE: &str = "UPDATE measurement SET device = ?4, plain_device = NULL
    WHERE patient = ?1 AND taken_at = ?2 AND offset = ?3";
const LABELS: &str = "SELECT p.sign_in, s.user, p.label
    FROM plain_label AS p JOIN sign_in AS s ON s.id = p.sign_in LIMIT 500";
const SET_LABEL: &str = "UPDATE sign_in SET label = ?2 WHERE id = ?1";
const FORGET_LABEL: &str = "DELETE FROM plain_label WHERE sign_in = ?1";
const TOKEN_NAMES: &str = "SELECT p.api_token, t.user, p.name
    FROM plain_token_name AS p JOIN api_token AS t ON t.id = p.api_token LIMIT 500";
const SET_TOKEN_NAME: &str = "UPDATE api_token SET name = ?2 WHERE id = ?1";
const FORGET_TOKEN_NAME: &str = "DELETE FROM plain_token_name WHERE api_token = ?1";
const PAYLOAD: &str = "SELECT topic, payload FROM event
    WHERE topic = (SELECT key FROM topic WHERE name = 'health:' || ?1) AND offset = ?2";
const SET_PAYLOAD: &str = "UPDATE event SET payload = ?3, device = ?4 WHERE topic = ?1 AND offset = ?2";

/// Whether nothing is left in plain text.
pub(super) fn is_done(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row(DONE, [], |row| row.get(0))
}

/// Seals all that is there in plain text.
pub(super) fn run(conn: &mut Connection, sealer: &Sealer) -> Result<(), Failure> {
    if conn.query_row(HAS_USERS, [], |row| row.get(0))? {
        tracing::info!("sealing what the database holds in plain text");
        while batch(conn, |step| names(step, sealer))? {}
        while batch(conn, |step| waiting(step, sealer, SealedColumn::SignInLabel, LABEL_SQL))? {}
        while batch(conn, |step| waiting(step, sealer, SealedColumn::ApiTokenName, TOKEN_NAME_SQL))? {}
        let mut after = (i64::MIN, i64::MIN, i64::MIN);
        while batch(conn, |step| devices(step, sealer, &mut after))? {}
        conn.execute_batch("VACUUM")?;
    }
    conn.execute(IS_DONE, [])?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn batch(
    conn: &mut Connection,
    mut step: impl FnMut(&Transaction<'_>) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let more = step(&transaction)?;
    transaction.commit()?;
    Ok(more)
}

/// Seals some names; whether there were any.
fn names(conn: &Connection, sealer: &Sealer) -> Result<bool, Failure> {
    let mut statement = conn.prepare_cached(NAMES)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, user_id(row, 1)?, row.get(2)?)))?;
    let found: Vec<(i64, UserId, String)> = rows.collect::<Result<_, _>>()?;
    for (user, id, name) in &found {
        let key = sealer.new_key();
        sealer.store_key(conn, id, &key)?;
        let row = id.as_str().as_bytes();
        let bytes = key.seal(id, SealedColumn::UserName, row, name.as_bytes(), sealer.clock());
        conn.prepare_cached(SET_NAME)?.execute(params![user, bytes])?;
        conn.prepare_cached(FORGET_NAME)?.execute([user])?;
    }
    Ok(!found.is_empty())
}

/// How texts are found that wait with the id and the user of their row, set in that row, and forgotten.
type Waiting = [&'static str; 3];

const LABEL_SQL: Waiting = [LABELS, SET_LABEL, FORGET_LABEL];
const TOKEN_NAME_SQL: Waiting = [TOKEN_NAMES, SET_TOKEN_NAME, FORGET_TOKEN_NAME];

/// Seals some texts of users who have their keys; whether there were any.
fn waiting(
    conn: &Connection,
    sealer: &Sealer,
    column: SealedColumn,
    [find, set, forget]: Waiting,
) -> Result<bool, Failure> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, user_id(row, 1)?, row.get(2)?));
    let found: Vec<(String, UserId, String)> = rows(conn, find, [], row)?;
    for (id, user, text) in &found {
        let bytes = sealer.seal(conn, user, column, id.as_bytes(), text)?;
        conn.prepare_cached(set)?.execute(params![id, bytes])?;
        conn.prepare_cached(forget)?.execute([id])?;
    }
    Ok(!found.is_empty())
}

type Place = (i64, i64, i64);

/// Seals the devices of some measurements after a place, which goes on; whether there were any.
fn devices(conn: &Connection, sealer: &Sealer, after: &mut Place) -> Result<bool, Failure> {
    let mut statement = conn.prepare_cached(MEASUREMENTS)?;
    let rows = statement.query_map(params![after.0, after.1, after.2], |row| {
        Ok(((row.get(0)?, row.get(1)?, row.get(2)?), user_id(row, 3)?, row.get(4)?))
    })?;
    let found: Vec<(Place, UserId, String)> = rows.collect::<Result<_, _>>()?;
    let mut known = Devices::default();
    for (place, patient, name) in &found {
        let device = known.key(conn, sealer, place.0, patient, name)?;
        conn.prepare_cached(SET_DEVICE)?.execute(params![place.0, place.1, place.2, device])?;
        let mut event = conn.prepare_cached(PAYLOAD)?;
        let mut rows = event.query(params![patient.as_str(), place.2])?;
        if let Some(row) = rows.next()? {
            let (topic, text): (i64, String) = (row.get(0)?, row.get(1)?);
            let bare = payload::without_device(&text);
            conn.prepare_cached(SET_PAYLOAD)?.execute(params![topic, place.2, bare, device])?;
        }
        *after = *place;
    }
    Ok(!found.is_empty())
}
