//! What is read, and how rows become what callers know.

use std::collections::HashMap;

use healthmate_care::team::UnknownRelationship;
use healthmate_care::{CareRelation, Metric, Scopes, User};
use healthmate_protocol::server::RecordedMeasurement;
use healthmate_protocol::{
    ClientId, Epoch, MeasurementData, Offset, OriginalQuantity, Timestamp, Topic, TopicKind, UserId,
};
use healthmate_storage::payload::with_device;
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{CircleMember, Cursor, Event, LogRange, MeasurementPage, MeasurementQuery};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde_json::value::RawValue;

use crate::codes::{kind_of, metric_key, metric_of};
use crate::failure::Failure;
use crate::notifications;
use crate::sealer::Sealer;
use crate::writer::devices;

const RANGE: &str = "SELECT oldest, head FROM topic WHERE name = ?1";
const READ_AFTER: &str = "SELECT e.offset, e.kind, e.recorded_at, e.payload, e.device, d.name
    FROM event AS e LEFT JOIN device AS d ON d.key = e.device
    WHERE e.topic = (SELECT key FROM topic WHERE name = ?1) AND e.offset > ?2 ORDER BY e.offset LIMIT ?3";
const HISTORY: &str =
    "SELECT m.offset, m.taken_at, m.metric, m.value, m.recorded_at, a.id, m.client_id, m.device,
        m.original_value, m.original_unit, d.name
    FROM measurement AS m CROSS JOIN user AS a ON a.key = m.author
        LEFT JOIN device AS d ON d.key = m.device
    WHERE m.patient = (SELECT key FROM user WHERE id = ?1)
        AND m.taken_at >= ?2 AND (m.taken_at, m.offset) < (?3, ?4)
    ORDER BY m.taken_at DESC, m.offset DESC LIMIT ?5";
const HISTORY_OF_METRIC: &str =
    "SELECT m.offset, m.taken_at, m.metric, m.value, m.recorded_at, a.id, m.client_id, m.device,
        m.original_value, m.original_unit, d.name
    FROM measurement AS m INDEXED BY measurement_by_metric CROSS JOIN user AS a ON a.key = m.author
        LEFT JOIN device AS d ON d.key = m.device
    WHERE m.patient = (SELECT key FROM user WHERE id = ?1)
        AND m.taken_at >= ?2 AND (m.taken_at, m.offset) < (?3, ?4) AND m.metric = ?6
    ORDER BY m.taken_at DESC, m.offset DESC LIMIT ?5";
const USER: &str = "SELECT id, role, name, device_of, active FROM user
    WHERE id = ?1 AND erased_at IS NULL";
const USERS: &str = "SELECT id, role, name, device_of, active FROM user
    WHERE erased_at IS NULL ORDER BY id";
const RELATION: &str = "SELECT patient, member, starts_at, ends_at, relation, scopes, granted_by
    FROM care_relation WHERE patient = ?1 AND member = ?2";
const TEAM: &str = "SELECT patient, member, starts_at, ends_at, relation, scopes, granted_by
    FROM care_relation WHERE patient = ?1 ORDER BY member";
const CIRCLE: &str = "SELECT u.id, u.role, u.name, u.device_of, u.active,
        r.patient, r.member, r.starts_at, r.ends_at, r.relation, r.scopes, r.granted_by
    FROM user AS u LEFT JOIN care_relation AS r ON r.patient = ?1 AND r.member = u.id
    WHERE u.id = ?1 AND u.role = 'patient' AND u.erased_at IS NULL
    UNION ALL SELECT u.id, u.role, u.name, u.device_of, u.active,
        r.patient, r.member, r.starts_at, r.ends_at, r.relation, r.scopes, r.granted_by
    FROM user AS u LEFT JOIN care_relation AS r ON r.patient = ?1 AND r.member = u.id
    WHERE u.device_of = ?1 AND u.erased_at IS NULL
    UNION ALL SELECT u.id, u.role, u.name, u.device_of, u.active,
        r.patient, r.member, r.starts_at, r.ends_at, r.relation, r.scopes, r.granted_by
    FROM care_relation AS r CROSS JOIN user AS u ON u.id = r.member
    WHERE r.patient = ?1 AND u.id <> ?1 AND u.device_of IS NOT ?1";
const PATIENTS: &str = "SELECT patient, member, starts_at, ends_at, relation, scopes, granted_by
    FROM care_relation WHERE member = ?1 ORDER BY patient";
const DIRECTORY_VERSION: &str = "SELECT version FROM directory_version WHERE only_row = 1";
const EPOCH: &str = "SELECT epoch FROM meta";

/// Every query that runs while others wait for it, with how many parameters it has. `USERS` is not among them: it
/// reads everything there is.
#[cfg(test)]
pub(crate) const INDEXED: &[(&str, usize)] = &[
    (RANGE, 1),
    (READ_AFTER, 3),
    (HISTORY, 5),
    (HISTORY_OF_METRIC, 6),
    (USER, 1),
    (RELATION, 2),
    (TEAM, 1),
    (CIRCLE, 1),
    (PATIENTS, 1),
    (DIRECTORY_VERSION, 0),
    (crate::sealer::DATA_KEY, 1),
    (crate::sealer::ACTIVE, 0),
    (crate::audit::AFTER, 2),
    (crate::audit::HEAD, 0),
    (crate::audit::FILED, 0),
    (crate::audit::OF_PATIENT_NEW, 6),
    (crate::audit::OF_PATIENT, 6),
    (crate::audit::LAST_CHECKPOINT, 0),
    (crate::break_glass::OF, 2),
    (crate::break_glass::BETWEEN, 2),
    (crate::break_glass::BY, 2),
    (notifications::PAGE, 3),
    (notifications::UNSEEN, 1),
    (notifications::EVENTS, 4),
    (crate::credentials::PASSWORD, 1),
    (crate::credentials::SIGN_INS, 1),
    (crate::credentials::API_TOKEN, 1),
    (crate::credentials::API_TOKENS, 1),
    (crate::credentials::PASSKEY, 1),
    (crate::credentials::PASSKEYS, 1),
    (crate::credentials::REVOCATIONS, 1),
];

pub(crate) fn range(conn: &Connection, topic: &Topic) -> Result<LogRange, Failure> {
    let mut statement = conn.prepare_cached(RANGE)?;
    let found = statement.query_row([topic.to_string()], |row| {
        Ok(LogRange { oldest: offset(row, 0)?, head: offset(row, 1)? })
    });
    Ok(found.optional()?.unwrap_or(LogRange { oldest: Offset(1), head: Offset::START }))
}

pub(crate) fn read_after(
    conn: &Connection,
    sealer: &Sealer,
    topic: &Topic,
    after: Offset,
    limit: u32,
) -> Result<Vec<Event>, Failure> {
    // No offset is beyond SQLite's integers; a client may still say one that is.
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    if topic.kind() == TopicKind::Notifications {
        return notifications::read_after(conn, sealer, topic, after, limit);
    }
    let mut devices = DeviceNames::new(conn, sealer, topic.id());
    rows(conn, READ_AFTER, params![topic.to_string(), after, limit], |row| {
        let device = devices.name(row, (4, 5))?;
        let payload = match device {
            Some(device) => with_device(row.get_ref(3)?.as_str()?, &device),
            None => RawValue::from_string(row.get(3)?),
        };
        let payload = payload.map_err(|error| unreadable(3, Type::Text, error))?;
        Ok(Event {
            topic: topic.clone(),
            offset: offset(row, 0)?,
            kind: kind_of(row.get(1)?)
                .ok_or_else(|| unreadable(1, Type::Integer, "an unknown kind of event"))?,
            recorded_at: time(row, 2)?,
            series: None,
            payload: payload.into(),
        })
    })
}

pub(crate) fn measurements(
    conn: &Connection,
    sealer: &Sealer,
    query: &MeasurementQuery,
) -> Result<MeasurementPage, Failure> {
    let from = query.from.map_or(i64::MIN, Timestamp::as_micros);
    // Both ends are "before this place": the narrower one holds. No offset is 0, so `to` itself is excluded.
    let before =
        |cursor: Cursor| (cursor.taken_at.as_micros(), i64::try_from(cursor.offset.0).unwrap_or(i64::MAX));
    let end = query.to.map(|to| (to.as_micros(), 0)).into_iter().chain(query.after.map(before)).min();
    let (end_at, end_offset) = end.unwrap_or((i64::MAX, 0));
    // One more tells whether there is a next page.
    let limit = i64::from(query.limit) + 1;
    let patient = query.patient.as_str();
    let mut devices = DeviceNames::new(conn, sealer, &query.patient);
    let row = |row: &Row<'_>| recorded(row, &query.patient, &mut devices);
    let mut measurements = match query.metric {
        None => rows(conn, HISTORY, params![patient, from, end_at, end_offset, limit], row)?,
        Some(metric) => {
            let metric = metric_key(metric);
            rows(conn, HISTORY_OF_METRIC, params![patient, from, end_at, end_offset, limit, metric], row)?
        }
    };
    let more = measurements.len() > query.limit as usize;
    measurements.truncate(query.limit as usize);
    let last = measurements.last().map(|last| Cursor { taken_at: last.data.taken_at, offset: last.offset });
    Ok(MeasurementPage { measurements, next: last.filter(|_| more) })
}

/// One short walk of an index for each metric.
pub(crate) fn newest(
    conn: &Connection,
    sealer: &Sealer,
    patient: &UserId,
) -> Result<Vec<RecordedMeasurement>, Failure> {
    let mut newest = Vec::new();
    let mut devices = DeviceNames::new(conn, sealer, patient);
    for metric in Metric::ALL {
        let place = params![patient.as_str(), i64::MIN, i64::MAX, 0, 1, metric_key(metric)];
        newest.extend(rows(conn, HISTORY_OF_METRIC, place, |row| recorded(row, patient, &mut devices))?);
    }
    Ok(newest)
}

fn recorded(
    row: &Row<'_>,
    patient: &UserId,
    devices: &mut DeviceNames<'_>,
) -> rusqlite::Result<RecordedMeasurement> {
    let metric: Metric =
        metric_of(row.get(2)?).ok_or_else(|| unreadable(2, Type::Integer, "an unknown metric"))?;
    let client_id: Option<String> = row.get(6)?;
    let client_id = client_id.map(|text| ClientId::new(&text)).transpose();
    let original: Option<f64> = row.get(8)?;
    let unit: Option<String> = row.get(9)?;
    let original = original.zip(unit).map(|(value, unit)| OriginalQuantity { value, unit });
    let data = MeasurementData {
        patient: patient.clone(),
        metric: metric.as_str().to_owned(),
        value: row.get(3)?,
        unit: metric.unit().to_owned(),
        taken_at: time(row, 1)?,
        recorded_at: time(row, 4)?,
        author: user_id(row, 5)?,
        client_id: client_id.map_err(|error| unreadable(6, Type::Text, error))?,
        device: devices.name(row, (7, 10))?,
        flags: original.iter().map(|_| "converted".to_owned()).collect(),
        original,
    };
    Ok(RecordedMeasurement { offset: offset(row, 0)?, data })
}

/// The names of a patient's devices, each opened once for a page.
struct DeviceNames<'a> {
    conn: &'a Connection,
    sealer: &'a Sealer,
    patient: &'a UserId,
    opened: HashMap<i64, String>,
}

impl<'a> DeviceNames<'a> {
    fn new(conn: &'a Connection, sealer: &'a Sealer, patient: &'a UserId) -> Self {
        Self { conn, sealer, patient, opened: HashMap::new() }
    }

    /// The name of the row's device, whose key and sealed name are in these columns.
    fn name(&mut self, row: &Row<'_>, (key, sealed): (usize, usize)) -> rusqlite::Result<Option<String>> {
        let Some(key) = row.get::<_, Option<i64>>(key)? else {
            return Ok(None);
        };
        if let Some(name) = self.opened.get(&key) {
            return Ok(Some(name.clone()));
        }
        // Of an erased patient, while the rows go: the name went first.
        let Some(sealed) = row.get_ref(sealed)?.as_blob_or_null()? else {
            return Ok(None);
        };
        let (column, place) = (SealedColumn::DeviceName, devices::row(key));
        let name = self.sealer.open(self.conn, self.patient, column, &place, sealed)?;
        self.opened.insert(key, name.clone());
        Ok(Some(name))
    }
}

pub(crate) fn user(conn: &Connection, sealer: &Sealer, id: &UserId) -> Result<Option<User>, Failure> {
    Ok(rows(conn, USER, [id.as_str()], |row| user_row(conn, sealer, row))?.pop())
}

pub(crate) fn users(conn: &Connection, sealer: &Sealer) -> Result<Vec<User>, Failure> {
    rows(conn, USERS, [], |row| user_row(conn, sealer, row))
}

fn user_row(conn: &Connection, sealer: &Sealer, row: &Row<'_>) -> rusqlite::Result<User> {
    let id = user_id(row, 0)?;
    let name = row.get_ref(2)?.as_blob()?;
    let name = sealer.open(conn, &id, SealedColumn::UserName, id.as_str().as_bytes(), name)?;
    let role: String = row.get(1)?;
    let device_of: Option<String> = row.get(3)?;
    Ok(User {
        id,
        role: role
            .parse()
            .map_err(|error: healthmate_care::user::UnknownRole| unreadable(1, Type::Text, error))?,
        name,
        device_of: device_of.is_some().then(|| user_id(row, 3)).transpose()?,
        active: row.get(4)?,
    })
}

pub(crate) fn care_relation(
    conn: &Connection,
    patient: &UserId,
    member: &UserId,
) -> Result<Option<CareRelation>, Failure> {
    Ok(rows(conn, RELATION, [patient.as_str(), member.as_str()], relation_row)?.pop())
}

pub(crate) fn care_team(conn: &Connection, patient: &UserId) -> Result<Vec<CareRelation>, Failure> {
    rows(conn, TEAM, [patient.as_str()], relation_row)
}

pub(crate) fn circle(
    conn: &Connection,
    sealer: &Sealer,
    patient: &UserId,
) -> Result<Vec<CircleMember>, Failure> {
    let mut members = rows(conn, CIRCLE, [patient.as_str()], |row| {
        let user = user_row(conn, sealer, row)?;
        let related = row.get_ref(5)?.as_str_or_null()?.is_some();
        let relation = related.then(|| relation_from(row, 5)).transpose()?;
        Ok(CircleMember { user, relation })
    })?;
    members.sort_unstable_by(|one, other| one.user.id.cmp(&other.user.id));
    Ok(members)
}

pub(crate) fn patients_of(conn: &Connection, member: &UserId) -> Result<Vec<CareRelation>, Failure> {
    rows(conn, PATIENTS, [member.as_str()], relation_row)
}

/// How often users and care relations were changed, by any process.
pub(crate) fn directory_version(conn: &Connection) -> Result<u64, Failure> {
    let version: i64 = conn.prepare_cached(DIRECTORY_VERSION)?.query_row([], |row| row.get(0))?;
    Ok(version.unsigned_abs())
}

fn relation_row(row: &Row<'_>) -> rusqlite::Result<CareRelation> {
    relation_from(row, 0)
}

/// The relation whose columns begin with this one.
fn relation_from(row: &Row<'_>, first: usize) -> rusqlite::Result<CareRelation> {
    let ends_at: Option<i64> = row.get(first + 3)?;
    let relation = row.get_ref(first + 4)?.as_str()?.parse();
    let granter = row.get_ref(first + 6)?.as_str_or_null()?.is_some();
    Ok(CareRelation {
        patient: user_id(row, first)?,
        member: user_id(row, first + 1)?,
        relation: relation.map_err(|error: UnknownRelationship| unreadable(first + 4, Type::Text, error))?,
        scopes: Scopes::from_bits(row.get(first + 5)?)
            .ok_or_else(|| unreadable(first + 5, Type::Integer, "an unknown scope"))?,
        starts_at: time(row, first + 2)?,
        ends_at: ends_at.map(Timestamp::from_micros),
        granted_by: granter.then(|| user_id(row, first + 6)).transpose()?,
    })
}

/// The epoch that was written last, if the store has one.
pub(crate) fn epoch(conn: &Connection) -> rusqlite::Result<Option<Epoch>> {
    let read = |row: &Row<'_>| {
        let text: String = row.get(0)?;
        Epoch::new(&text).map_err(|error| unreadable(0, Type::Text, error))
    };
    conn.query_row(EPOCH, [], read).optional()
}

pub(crate) fn rows<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn offset(row: &Row<'_>, column: usize) -> rusqlite::Result<Offset> {
    Ok(Offset(row.get::<_, i64>(column)?.unsigned_abs()))
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_micros(row.get(column)?))
}

pub(crate) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

pub(crate) fn user_id(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    let text = row.get_ref(column)?.as_str()?;
    UserId::new(text).map_err(|error| unreadable(column, Type::Text, error))
}

pub(crate) fn unreadable(
    column: usize,
    kind: Type,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
}
