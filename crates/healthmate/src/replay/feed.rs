//! Decides what to send next, and what an answer means for it. Pure: no socket, no clock.

use std::sync::Arc;

use healthmate_protocol::client::HealthUpdate;
use healthmate_protocol::server::{Acknowledgment, Error};
use healthmate_protocol::{
    ClientMessage, Command, CorrelationId, ErrorCode, MAX_BATCH, MeasurementInput, Timestamp, UserId,
};
use serde::Serialize;

use super::recording::Recording;
use super::timeline::{Beginning, Place, Timeline};

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Rows sent, each counted once.
    pub(crate) sent: u64,
    /// Rows that are on the server's disk.
    pub(crate) acknowledged: u64,
    /// Of these, rows the server had already.
    pub(crate) duplicates: u64,
    /// Rows the server does not take, such as implausible values.
    pub(crate) skipped: u64,
    /// Rows that were sent more than once, counted each time.
    pub(crate) resent: u64,
}

/// The server's answer does not let the replay go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FeedError {
    /// All of it is refused, not one value.
    #[error("{}: {message}", code.as_str())]
    Refused { code: ErrorCode, message: String },
    /// There must be one result for each measurement.
    #[error("the server acknowledged {got} measurements of {sent}")]
    WrongCount { got: usize, sent: usize },
}

/// A recording on its way, one batch at a time.
pub(crate) struct Feed {
    recording: Arc<Recording>,
    patient: UserId,
    looped: bool,
    timeline: Timeline,
    /// The first row that was never sent; `None` at the end.
    next: Option<Place>,
    /// The rows sent and not answered.
    waiting: Vec<Place>,
    /// The batch under way: what it is called, and how many of the waiting rows it holds.
    under_way: Option<(CorrelationId, usize)>,
    requests: u64,
    counts: Counts,
}

impl Feed {
    /// Starts where `beginning` says.
    pub(crate) fn new(
        recording: Arc<Recording>,
        patient: UserId,
        looped: bool,
        beginning: Beginning,
    ) -> Self {
        Self {
            recording,
            patient,
            looped,
            timeline: beginning.timeline,
            next: Some(beginning.place),
            waiting: Vec::new(),
            under_way: None,
            requests: 0,
            counts: Counts::default(),
        }
    }

    /// What became of the rows so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many rows are still to be sent; `None` if it never ends.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let rows = self.recording.rows().len();
        (!self.looped).then(|| self.next.map_or(0, |place| rows - place.row) as u64)
    }

    /// Whether every row is answered and none follows.
    pub(crate) fn is_finished(&self) -> bool {
        self.next.is_none() && self.waiting.is_empty()
    }

    /// Whether a batch waits for its answer.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// When the next row is due; a batch that must be sent again is due at once.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        let place = self.waiting.first().copied().or(self.next)?;
        Some(self.timeline.taken_at(&self.recording, place))
    }

    /// The next batch: rows to send again, or all rows due at `now`, as many as fit into a message of `max_bytes`.
    /// `None` if nothing is due or a batch is under way.
    pub(crate) fn message(&mut self, now: Timestamp, max_bytes: usize) -> Option<ClientMessage> {
        if self.under_way.is_some() {
            return None;
        }
        self.requests += 1;
        let id: CorrelationId = format!("r{}", self.requests).parse().ok()?;
        let room = max_bytes.saturating_sub(self.update(&id, Vec::new()).to_text().len());
        let batch = if self.waiting.is_empty() { self.due(now, room) } else { self.again(room) };
        if batch.is_empty() {
            return None;
        }
        self.under_way = Some((id.clone(), batch.len()));
        Some(self.update(&id, batch))
    }

    fn update(&self, id: &CorrelationId, batch: Vec<MeasurementInput>) -> ClientMessage {
        let update = HealthUpdate { patient: Some(self.patient.clone()), data: None, batch: Some(batch) };
        ClientMessage { correlation_id: Some(id.clone()), command: Command::HealthUpdate(update) }
    }

    /// Rows that were never sent, and wait from now on.
    fn due(&mut self, now: Timestamp, mut room: usize) -> Vec<MeasurementInput> {
        let mut batch = Vec::new();
        while let Some(place) = self.next {
            if self.timeline.taken_at(&self.recording, place) > now {
                break;
            }
            let measurement = self.measurement(place);
            if !fits(&measurement, &batch, &mut room) {
                break;
            }
            batch.push(measurement);
            self.waiting.push(place);
            self.counts.sent += 1;
            self.next = place.next(&self.recording, self.looped);
        }
        batch
    }

    /// The first of the rows that wait; all of them, unless the server takes smaller messages than it did.
    fn again(&mut self, mut room: usize) -> Vec<MeasurementInput> {
        let mut batch = Vec::new();
        for place in &self.waiting {
            let measurement = self.measurement(*place);
            if !fits(&measurement, &batch, &mut room) {
                break;
            }
            batch.push(measurement);
        }
        self.counts.resent += batch.len() as u64;
        batch
    }

    fn measurement(&self, place: Place) -> MeasurementInput {
        let metric = self.recording.metric();
        MeasurementInput {
            metric: metric.as_str().to_owned(),
            value: self.recording.rows().get(place.row).map_or(f64::NAN, |row| row.value),
            unit: metric.unit().to_owned(),
            taken_at: self.timeline.taken_at(&self.recording, place),
            client_id: self.timeline.client_id(&self.recording, place),
            device: Some(format!("recording {}", self.recording.name())),
        }
    }

    /// The server stored the batch called `id`. False if no such batch is under way.
    ///
    /// # Errors
    /// If it did not answer for each measurement.
    pub(crate) fn acknowledged(
        &mut self,
        id: Option<&CorrelationId>,
        receipt: &Acknowledgment,
    ) -> Result<bool, FeedError> {
        if !self.answers(id) {
            return Ok(false);
        }
        let (got, sent) = (receipt.results.len(), self.rows_under_way());
        if got != sent {
            return Err(FeedError::WrongCount { got, sent });
        }
        self.counts.acknowledged += got as u64;
        self.counts.duplicates += receipt.results.iter().filter(|result| result.duplicate).count() as u64;
        self.waiting.drain(..sent);
        self.under_way = None;
        Ok(true)
    }

    /// The server stored nothing of the batch called `id`. A value that it does not take is dropped from the batch,
    /// and what is left is to be sent again. False if no such batch is under way.
    ///
    /// # Errors
    /// If it refuses the whole of it, and sending it again cannot help.
    pub(crate) fn refused(&mut self, id: Option<&CorrelationId>, error: &Error) -> Result<bool, FeedError> {
        if !self.answers(id) {
            return Ok(false);
        }
        if !error.retry {
            match error.field.as_deref().and_then(index_in_batch) {
                Some(index) if index < self.rows_under_way() => {
                    self.waiting.remove(index);
                    self.counts.skipped += 1;
                }
                _ => {
                    return Err(FeedError::Refused { code: error.code, message: error.message.clone() });
                }
            }
        }
        self.under_way = None;
        Ok(true)
    }

    /// The connection ended: what was under way is to be sent again.
    pub(crate) fn cut(&mut self) {
        self.under_way = None;
    }

    fn answers(&self, id: Option<&CorrelationId>) -> bool {
        self.under_way.as_ref().is_some_and(|(under_way, _)| Some(under_way) == id)
    }

    fn rows_under_way(&self) -> usize {
        self.under_way.as_ref().map_or(0, |(_, rows)| *rows)
    }
}

/// Whether `measurement` may follow `batch` in a message with so many bytes of room, which it then takes. The first
/// one goes in any case: it has no smaller form, and the server says what is wrong with it.
fn fits(measurement: &MeasurementInput, batch: &[MeasurementInput], room: &mut usize) -> bool {
    let comma = usize::from(!batch.is_empty());
    let bytes = serde_json::to_vec(measurement).map_or(0, |json| json.len() + comma);
    let fits = batch.is_empty() || (batch.len() < MAX_BATCH && bytes <= *room);
    if fits {
        *room = room.saturating_sub(bytes);
    }
    fits
}

/// The 3 of `batch[3].value`.
fn index_in_batch(field: &str) -> Option<usize> {
    field.strip_prefix("batch[")?.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests;
