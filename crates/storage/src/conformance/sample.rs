//! People and measurements for the checks.

use std::sync::Arc;

use healthmate_care::{By, Clock, Measurement, Metric, Role, User};
use healthmate_protocol::server::MeasurementReceipt;
use healthmate_protocol::{ClientId, Offset, Topic, UserId};

use super::{Failed, Harness, Outcome};
use crate::{CommitListener, Event, MeasurementQuery, Recording};

pub(super) fn id(text: &str) -> Result<UserId, Failed> {
    Ok(UserId::new(text)?)
}

pub(super) fn health(patient: &str) -> Result<Topic, Failed> {
    Ok(Topic::health(id(patient)?))
}

pub(super) fn user(name: &str, role: Role) -> Result<User, Failed> {
    Ok(User { id: id(name)?, role, name: format!("{name} «{role}»"), device_of: None, active: true })
}

pub(super) fn device(name: &str, patient: &str) -> Result<User, Failed> {
    Ok(User { device_of: Some(id(patient)?), ..user(name, Role::Device)? })
}

/// Who makes the changes of the checks.
pub(super) fn by() -> By {
    By::command_line(super::start())
}

/// Adds the patients `p` and `q`, the device `d` of `p`, and the nurse `n`.
pub(super) async fn people(harness: &Harness) -> Outcome {
    let store = harness.store()?;
    store.add_user(user("p", Role::Patient)?, by()).await?;
    store.add_user(user("q", Role::Patient)?, by()).await?;
    store.add_user(device("d", "p")?, by()).await?;
    store.add_user(user("n", Role::Nurse)?, by()).await?;
    Ok(())
}

/// A heart rate taken `second` seconds after the clock's time.
pub(super) fn beat(harness: &Harness, second: i64, value: f64) -> Measurement {
    Measurement {
        metric: Metric::HeartRate,
        value,
        taken_at: harness.clock.now().plus_millis(second * 1000),
        client_id: None,
        device: None,
        original: None,
    }
}

pub(super) fn named(harness: &Harness, name: &str, value: f64) -> Result<Measurement, Failed> {
    Ok(Measurement { client_id: Some(ClientId::new(name)?), ..beat(harness, 0, value) })
}

pub(super) fn recording(
    patient: &str,
    author: &str,
    measurements: Vec<Measurement>,
) -> Result<Recording, Failed> {
    Ok(Recording { patient: id(patient)?, author: id(author)?, measurements, idempotency: None, audit: None })
}

/// Records `count` heart rates of `patient`, taken now.
pub(super) async fn beats(
    harness: &Harness,
    patient: &str,
    count: usize,
) -> Result<Vec<MeasurementReceipt>, Failed> {
    let measurements = (0..count).map(|n| beat(harness, 0, 60.0 + n as f64)).collect();
    Ok(harness.store()?.record(recording(patient, patient, measurements)?).await?)
}

pub(super) fn offsets(receipts: &[MeasurementReceipt]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt.offset.0).collect()
}

/// The offsets of the topic's log, from the oldest on.
pub(super) async fn logged(harness: &Harness, patient: &str) -> Result<Vec<u64>, Failed> {
    let events = harness.store()?.read_after(&health(patient)?, Offset::START, u32::MAX).await?;
    Ok(events.iter().map(|event| event.offset.0).collect())
}

pub(super) fn everything_of(patient: &str) -> Result<MeasurementQuery, Failed> {
    Ok(MeasurementQuery {
        patient: id(patient)?,
        metric: None,
        from: None,
        to: None,
        limit: 1000,
        after: None,
    })
}

/// Sends every event it hears of to the channel.
pub(super) fn teller() -> (CommitListener, std::sync::mpsc::Receiver<Event>) {
    let (told, heard) = std::sync::mpsc::channel();
    let listener = Arc::new(move |events: &[Event]| {
        for event in events {
            // The check may have heard enough and be gone.
            let _ = told.send(event.clone());
        }
    });
    (listener, heard)
}
