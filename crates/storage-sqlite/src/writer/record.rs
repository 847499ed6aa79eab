//! Storing measurements: rows, events, and the answer to the idempotency key.

use std::borrow::Cow;

use healthmate_care::Measurement;
use healthmate_protocol::server::MeasurementReceipt;
use healthmate_protocol::{ClientId, Offset, Topic};
use healthmate_storage::payload::without_device;
use healthmate_storage::{Error, Event, EventKind, Idempotency, Recording, Series, event_payload};
use rusqlite::{CachedStatement, OptionalExtension, params};

use crate::codes::{kind_key, metric_key};
use crate::failure::Failure;
use crate::writer::cache::{Head, Person};
use crate::writer::group::Group;

/// A name that is taken inserts nothing, and says so by its count.
pub(crate) const INSERT_MEASUREMENT: &str =
    "INSERT INTO measurement (patient, taken_at, offset, metric, value,
        recorded_at, author, client_id, device, original_value, original_unit)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (patient, author, client_id) WHERE client_id IS NOT NULL DO NOTHING";
pub(crate) const INSERT_EVENT: &str =
    "INSERT INTO event (topic, offset, kind, recorded_at, payload, device) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(crate) const BY_NAME: &str = "SELECT offset, original_value IS NOT NULL FROM measurement
    WHERE patient = ?1 AND author = ?2 AND client_id = ?3";
pub(crate) const FIRST_ANSWER: &str =
    "SELECT digest, receipts FROM idempotency WHERE author = ?1 AND key = ?2";
const KEEP_ANSWER: &str =
    "INSERT INTO idempotency (author, key, digest, first_used, receipts) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Everything that can refuse comes before the first change.
pub(crate) fn record(
    group: &mut Group<'_>,
    recording: &Recording,
) -> Result<Vec<MeasurementReceipt>, Failure> {
    let patient = group.patient(&recording.patient)?;
    let author = group.person(&recording.author)?.ok_or(Error::NotFound("user"))?;
    if let Some(idempotency) = &recording.idempotency
        && let Some(first) = first_answer(group, author, idempotency)?
    {
        return Ok(first);
    }
    let topic = Topic::health(recording.patient.clone());
    let mut rows = Rows::new(group, recording, &topic, patient, author)?;
    let mut receipts = Vec::with_capacity(recording.measurements.len());
    for measurement in &recording.measurements {
        receipts.push(rows.store(measurement)?);
    }
    let Rows { head, events, .. } = rows;
    if let Some(idempotency) = &recording.idempotency {
        keep_answer(group, author, idempotency, &receipts)?;
    }
    group.advance(topic, head, events);
    if let Some(record) = &recording.audit {
        group.audit(record)?;
    }
    Ok(receipts)
}

/// The rows of one recording, written with statements that are looked up once.
struct Rows<'a, 'g> {
    group: &'a mut Group<'g>,
    recording: &'a Recording,
    topic: &'a Topic,
    patient: Person,
    author: Person,
    head: Head,
    events: Vec<Event>,
    insert_measurement: CachedStatement<'g>,
    insert_event: CachedStatement<'g>,
}

impl<'a, 'g> Rows<'a, 'g> {
    fn new(
        group: &'a mut Group<'g>,
        recording: &'a Recording,
        topic: &'a Topic,
        patient: Person,
        author: Person,
    ) -> rusqlite::Result<Self> {
        let head = group.head(topic)?;
        let conn = group.conn;
        Ok(Self {
            group,
            recording,
            topic,
            patient,
            author,
            head,
            events: Vec::with_capacity(recording.measurements.len()),
            insert_measurement: conn.prepare_cached(INSERT_MEASUREMENT)?,
            insert_event: conn.prepare_cached(INSERT_EVENT)?,
        })
    }

    fn store(&mut self, measurement: &Measurement) -> Result<MeasurementReceipt, Failure> {
        if let Some(first) = self.first_of_new_device(measurement)? {
            return Ok(first);
        }
        let offset = self.head.head + 1;
        let client_id = measurement.client_id.as_ref();
        let original = measurement.original.as_ref();
        let recorded_at = self.group.recorded_at.at().as_micros();
        let device = measurement.device.as_deref();
        let device = device.map(|name| self.group.device(self.patient, &self.recording.patient, name));
        let device = device.transpose()?;
        let inserted = self.insert_measurement.execute(params![
            self.patient.key,
            measurement.taken_at.as_micros(),
            offset as i64,
            metric_key(measurement.metric),
            measurement.value,
            recorded_at,
            self.author.key,
            client_id.map(ClientId::as_str),
            device,
            original.map(|original| original.value),
            original.map(|original| original.unit.as_str()),
        ])?;
        if let Some(client_id) = client_id
            && inserted == 0
        {
            return Ok(self.stored_before(client_id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?);
        }
        let Recording { patient, author, .. } = self.recording;
        let payload =
            event_payload(patient, author, measurement, &self.group.recorded_at).map_err(unwritable)?;
        let kind = EventKind::HealthUpdate;
        let stored = match device {
            Some(_) => Cow::Owned(without_device(payload.get())),
            None => Cow::Borrowed(payload.get()),
        };
        let row = params![self.head.key, offset as i64, kind_key(kind), recorded_at, stored, device];
        self.insert_event.execute(row)?;
        self.head.head = offset;
        let (topic, recorded_at) = (self.topic.clone(), self.group.recorded_at.at());
        let series = Some(Series { metric: measurement.metric, taken_at: measurement.taken_at });
        self.events.push(Event { topic, offset: Offset(offset), kind, recorded_at, series, payload });
        let flags = measurement.flags();
        Ok(MeasurementReceipt {
            offset: Offset(offset),
            client_id: client_id.cloned(),
            duplicate: false,
            flags,
        })
    }

    /// The first receipt of a measurement that is there already, and comes with a device that is not: a duplicate changes
    /// nothing, and leaves no device behind that nothing names.
    fn first_of_new_device(
        &mut self,
        measurement: &Measurement,
    ) -> Result<Option<MeasurementReceipt>, Failure> {
        let (Some(client_id), Some(device)) = (&measurement.client_id, &measurement.device) else {
            return Ok(None);
        };
        if self.group.knows_device(self.patient, &self.recording.patient, device)? {
            return Ok(None);
        }
        Ok(self.stored_before(client_id)?)
    }

    /// The first receipt of a measurement, if it is there already.
    fn stored_before(&self, client_id: &ClientId) -> rusqlite::Result<Option<MeasurementReceipt>> {
        let mut by_name = self.group.conn.prepare_cached(BY_NAME)?;
        let name = params![self.patient.key, self.author.key, client_id.as_str()];
        let found = by_name.query_row(name, |row| {
            let converted: bool = row.get(1)?;
            Ok(MeasurementReceipt {
                offset: Offset(row.get::<_, i64>(0)?.unsigned_abs()),
                client_id: Some(client_id.clone()),
                duplicate: true,
                flags: converted.then(|| "converted".to_owned()).into_iter().collect(),
            })
        });
        found.optional()
    }
}

fn first_answer(
    group: &Group<'_>,
    author: Person,
    idempotency: &Idempotency,
) -> Result<Option<Vec<MeasurementReceipt>>, Failure> {
    let mut statement = group.conn.prepare_cached(FIRST_ANSWER)?;
    let found: Option<([u8; 32], String)> = statement
        .query_row(params![author.key, idempotency.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        None => Ok(None),
        Some((digest, _)) if digest != idempotency.digest => Err(Error::IdempotencyConflict.into()),
        Some((_, receipts)) => {
            let unreadable = |error: serde_json::Error| Error::Unavailable(error.to_string());
            Ok(Some(serde_json::from_str(&receipts).map_err(unreadable)?))
        }
    }
}

fn keep_answer(
    group: &Group<'_>,
    author: Person,
    idempotency: &Idempotency,
    receipts: &[MeasurementReceipt],
) -> Result<(), Failure> {
    let receipts = serde_json::to_string(receipts).map_err(unwritable)?;
    let first_used = group.recorded_at.at().as_micros();
    let row = params![author.key, idempotency.key, idempotency.digest, first_used, receipts];
    group.conn.prepare_cached(KEEP_ANSWER)?.execute(row)?;
    Ok(())
}

/// Not a refusal: rows were written, and must be undone.
pub(crate) fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
