//! Erasing a patient, transaction by transaction.

use healthmate_care::{AuditAction, AuditRecord, By};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::payload::notification_without_patient;
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{Erased, Error};
use rusqlite::{OptionalExtension, params};

use crate::failure::Failure;
use crate::queries::{rows, user_id};
use crate::writer::group::Group;
use crate::writer::record::unwritable;
use crate::writer::retention::{Old, trim_topic};

/// How many rows one transaction deletes.
pub(crate) const BATCH: u32 = 2000;

pub(crate) const PATIENT: &str = "SELECT key, erased_at FROM user WHERE id = ?1 AND role = 'patient'";
pub(crate) const PERSONS: &str = "SELECT key, id FROM user WHERE id = ?1
    UNION ALL SELECT key, id FROM user WHERE device_of = ?1";
const ERASE_USER: &str = "UPDATE user SET name = NULL, active = 0, erased_at = ?2 WHERE key = ?1";
pub(crate) const MEASUREMENTS: &str = "SELECT count(*) FROM measurement WHERE patient = ?1";
/// Those that are filed, and those that are not yet.
pub(crate) const AUDITED: &str = "SELECT
    (SELECT count(*) FROM audit_run AS r CROSS JOIN audit_in_run AS f ON f.run = r.upto
        WHERE r.upto > 0 AND f.patient = ?1)
    + (SELECT count(*) FROM audit
        WHERE seq > (SELECT coalesce(max(upto), 0) FROM audit_run) AND patient = ?1)";
/// The topics that are named after the patient, and after the patient's devices.
pub(crate) const TOPICS: &str = "SELECT key, oldest, head FROM topic WHERE name IN
    (SELECT 'health:' || ?1 UNION ALL SELECT 'notifications:' || ?1
        UNION ALL SELECT 'notifications:' || id FROM user WHERE device_of = ?1)";
pub(crate) const FORGET_MEASUREMENTS: &str = "DELETE FROM measurement
    WHERE patient = ?1 AND (taken_at, offset) IN
        (SELECT taken_at, offset FROM measurement WHERE patient = ?1 ORDER BY taken_at, offset LIMIT ?2)";

/// What goes at once of each person, by the person's key, and by the person's id.
pub(crate) const BY_KEY: &[(&str, &str)] = &[
    ("data_key", "DELETE FROM data_key WHERE user = ?1"),
    ("device", "DELETE FROM device WHERE patient = ?1"),
    ("idempotency", "DELETE FROM idempotency WHERE author = ?1"),
];
pub(crate) const BY_ID: &[(&str, &str)] = &[
    ("care_relation", "DELETE FROM care_relation WHERE patient = ?1"),
    ("care_relation", "DELETE FROM care_relation WHERE member = ?1"),
    ("password", "DELETE FROM password WHERE user = ?1"),
    ("sign_in", "DELETE FROM sign_in WHERE user = ?1"),
    ("api_token", "DELETE FROM api_token WHERE user = ?1"),
    ("passkey", "DELETE FROM passkey WHERE user = ?1"),
    ("notification", "DELETE FROM notification WHERE user = ?1"),
    ("break_glass", "DELETE FROM break_glass WHERE patient = ?1"),
];

/// What others were told about the patient: not the patient's devices, whose own notifications go.
pub(crate) const TOLD: &str =
    "SELECT n.user, n.id, n.text FROM notification AS n JOIN user AS u ON u.id = n.user
    WHERE n.patient = ?1 AND n.user <> ?1 AND u.device_of IS NOT ?1";
const RETELL: &str = "UPDATE notification SET text = ?2, patient = NULL WHERE id = ?1";

/// Counts by what was counted.
#[derive(Default)]
struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    fn add(&mut self, what: &'static str, rows: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += rows,
            None if rows > 0 => self.0.push((what, rows)),
            None => {}
        }
    }
}

/// Takes everything away that lets somebody in or opens something, and says what will have gone; with the patient's key.
pub(crate) fn begin(group: &mut Group<'_>, patient: &UserId, by: &By) -> Result<(Erased, i64), Failure> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
    let found = group.conn.prepare_cached(PATIENT)?.query_row([patient.as_str()], row).optional()?;
    let (key, erased_at) = found.ok_or(Error::NotFound("patient"))?;
    group.write_heads()?;
    let mut counts = Counts::default();
    counts.add("measurement", count(group, MEASUREMENTS, key)?);
    let events: i64 = topics(group, patient)?.iter().map(|topic| topic.head + 1 - topic.oldest).sum();
    counts.add("event", events.unsigned_abs());
    if erased_at.is_none() {
        take_away(group, patient, by, &mut counts)?;
        let rows: Vec<String> = counts.0.iter().map(|(what, rows)| format!("{what}:{rows}")).collect();
        let record = AuditRecord::new(by.clone(), AuditAction::Erased).patient(patient);
        group.audit(&record.object(rows.join(" ")))?;
    }
    let erased = Erased {
        at: erased_at.map_or(by.at, Timestamp::from_micros),
        before: erased_at.is_some(),
        rows: counts.0,
        audit_kept: count(group, AUDITED, patient.as_str())?,
    };
    Ok((erased, key))
}

fn take_away(group: &mut Group<'_>, patient: &UserId, by: &By, counts: &mut Counts) -> Result<(), Failure> {
    let persons: Vec<(i64, UserId)> =
        rows(group.conn, PERSONS, [patient.as_str()], |row| Ok((row.get(0)?, user_id(row, 1)?)))?;
    counts.add("notification", retell(group, patient)?);
    for (key, id) in &persons {
        for (what, sql) in BY_KEY {
            counts.add(what, group.conn.prepare_cached(sql)?.execute([key])? as u64);
        }
        for (what, sql) in BY_ID {
            counts.add(what, group.conn.prepare_cached(sql)?.execute([id.as_str()])? as u64);
        }
        group.conn.prepare_cached(ERASE_USER)?.execute(params![key, by.at.as_micros()])?;
    }
    counts.add("user", persons.len() as u64);
    let erased: Vec<UserId> = persons.into_iter().map(|(_, id)| id).collect();
    group.forget_people(&erased);
    Ok(())
}

/// Others keep that they were told something: their log has no holes. What they were told about the patient goes.
fn retell(group: &Group<'_>, patient: &UserId) -> Result<u64, Failure> {
    let row = |row: &rusqlite::Row<'_>| Ok((user_id(row, 0)?, row.get(1)?, row.get(2)?));
    let told: Vec<(UserId, String, Vec<u8>)> = rows(group.conn, TOLD, [patient.as_str()], row)?;
    let (sealer, column) = (group.sealer, SealedColumn::NotificationText);
    for (user, id, text) in &told {
        let text = sealer.open(group.conn, user, column, id.as_bytes(), text)?;
        let data = notification_without_patient(&text).map_err(unwritable)?;
        let bytes = sealer.seal(group.conn, user, column, id.as_bytes(), data.get())?;
        group.conn.prepare_cached(RETELL)?.execute(params![id, bytes])?;
    }
    Ok(told.len() as u64)
}

/// Deletes some of the measurements and events that are left; how many.
pub(crate) fn go_on(group: &mut Group<'_>, key: i64, patient: &UserId) -> Result<u64, Failure> {
    let mut gone = group.conn.prepare_cached(FORGET_MEASUREMENTS)?.execute(params![key, BATCH])? as u64;
    for topic in topics(group, patient)?.iter().filter(|topic| topic.oldest <= topic.head) {
        let all = Timestamp::MAX;
        gone += trim_topic(group, topic, all, BATCH.into())?.unsigned_abs();
    }
    Ok(gone)
}

fn topics(group: &Group<'_>, patient: &UserId) -> Result<Vec<Old>, Failure> {
    rows(group.conn, TOPICS, [patient.as_str()], |row| {
        Ok(Old { topic: row.get(0)?, oldest: row.get(1)?, head: row.get(2)? })
    })
}

fn count(group: &Group<'_>, sql: &str, of: impl rusqlite::ToSql) -> rusqlite::Result<u64> {
    let count: i64 = group.conn.prepare_cached(sql)?.query_row([of], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
