//! What measured, in words: sealed once for each patient and text, and named by number in measurements and events.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use healthmate_protocol::UserId;
use healthmate_storage::seal::SealedColumn;
use rusqlite::{Connection, params};

use crate::failure::Failure;
use crate::sealer::Sealer;

pub(crate) const DEVICES: &str =
    "SELECT key, name FROM device WHERE patient = ?1 ORDER BY key DESC LIMIT 256";
const ADD: &str = "INSERT INTO device (patient, name) VALUES (?1, x'')";
const SET_NAME: &str = "UPDATE device SET name = ?2 WHERE key = ?1";

/// How many texts of a patient are remembered. A patient with more than that has some stored twice.
const MAX_REMEMBERED: usize = 1024;

/// The devices of the patients that were written of lately.
#[derive(Debug, Default)]
pub(crate) struct Devices(HashMap<i64, HashMap<String, i64>>);

impl Devices {
    /// The number of this text of the patient, if it is stored.
    pub(crate) fn find(
        &mut self,
        conn: &Connection,
        sealer: &Sealer,
        patient: i64,
        id: &UserId,
        name: &str,
    ) -> Result<Option<i64>, Failure> {
        let known = match self.0.entry(patient) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(stored(conn, sealer, patient, id)?),
        };
        Ok(known.get(name).copied())
    }

    /// The number of this text of the patient. Stores it, sealed, if it is new.
    pub(crate) fn key(
        &mut self,
        conn: &Connection,
        sealer: &Sealer,
        patient: i64,
        id: &UserId,
        name: &str,
    ) -> Result<i64, Failure> {
        if let Some(key) = self.find(conn, sealer, patient, id, name)? {
            return Ok(key);
        }
        let known = self.0.entry(patient).or_default();
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        conn.prepare_cached(ADD)?.execute([patient])?;
        let key = conn.last_insert_rowid();
        let bytes = sealer.seal(conn, id, SealedColumn::DeviceName, &row(key), name)?;
        conn.prepare_cached(SET_NAME)?.execute(params![key, bytes])?;
        known.insert(name.to_owned(), key);
        Ok(key)
    }

    /// How many patients there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// What names the row of a device.
pub(crate) fn row(key: i64) -> [u8; 8] {
    key.to_be_bytes()
}

fn stored(
    conn: &Connection,
    sealer: &Sealer,
    patient: i64,
    id: &UserId,
) -> Result<HashMap<String, i64>, Failure> {
    let mut statement = conn.prepare_cached(DEVICES)?;
    let rows = statement.query_map([patient], |found| {
        let (key, bytes): (i64, Vec<u8>) = (found.get(0)?, found.get(1)?);
        Ok((sealer.open(conn, id, SealedColumn::DeviceName, &row(key), &bytes)?, key))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
