//! Plain SQLite doing what the store does with measurements, to compare the store with: the same schema, indexes,
//! settings, rows and group sizes, prepared statements, one thread, and nothing else.

use std::path::Path;

use healthmate_care::Measurement;
use healthmate_protocol::{ClientId, Timestamp, UserId};
use healthmate_storage::{RecordedAt, event_payload};
use rusqlite::{Connection, params};
use serde_json::value::RawValue;

use crate::codes::metric_key;
use crate::writer::record::{INSERT_EVENT, INSERT_MEASUREMENT};
use crate::{Options, migrations, open};

/// Why the baseline could not run.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Makes a database in `dir`, an empty folder, and gives back what writes `measurements` into it, `group` to a
/// transaction: the caller takes the time that it needs. Payloads are built before.
///
/// # Errors
/// If the database cannot be made.
pub fn raw_ingest(
    dir: &Path,
    measurements: Vec<Measurement>,
    group: usize,
) -> Result<impl FnOnce() -> Result<(), Failed> + use<>, Failed> {
    let mut conn = Connection::open(dir.join("raw.db"))?;
    open::configure(&conn, &Options::default())?;
    migrations::apply(&mut conn, migrations::ALL)?;
    conn.execute_batch(
        "INSERT INTO user (key, id, role) VALUES (1, 'p', 'patient');
         INSERT INTO topic (key, name) VALUES (1, 'health:p');",
    )?;
    let (patient, recorded_at) = (UserId::new("p")?, RecordedAt::new(Timestamp::from_micros(0)));
    let rows = measurements.into_iter().map(|measurement| {
        let payload = event_payload(
            &patient,
            &patient,
            &Measurement { device: None, ..measurement.clone() },
            &recorded_at,
        )?;
        Ok((measurement, payload))
    });
    let rows = rows.collect::<Result<Vec<_>, Failed>>()?;
    Ok(move || {
        let mut offset = 0;
        rows.chunks(group).try_for_each(|rows| write(&conn, rows, &mut offset))
    })
}

fn write<P: AsRef<RawValue>>(
    conn: &Connection,
    rows: &[(Measurement, P)],
    offset: &mut i64,
) -> Result<(), Failed> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut insert_measurement = conn.prepare_cached(INSERT_MEASUREMENT)?;
    let mut insert_event = conn.prepare_cached(INSERT_EVENT)?;
    for (measurement, payload) in rows {
        *offset += 1;
        let original = measurement.original.as_ref();
        insert_measurement.execute(params![
            1,
            measurement.taken_at.as_micros(),
            *offset,
            metric_key(measurement.metric),
            measurement.value,
            0,
            1,
            measurement.client_id.as_ref().map(ClientId::as_str),
            measurement.device.as_ref().map(|_| 1),
            original.map(|original| original.value),
            original.map(|original| original.unit.as_str()),
        ])?;
        insert_event.execute(params![
            1,
            *offset,
            1,
            0,
            payload.as_ref().get(),
            measurement.device.as_ref().map(|_| 1)
        ])?;
    }
    conn.prepare_cached("UPDATE topic SET head = ?1, oldest_at = 0 WHERE key = 1")?.execute([*offset])?;
    conn.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}
