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

/// What surrounds the measurements of a batch, in bytes, generously.
const ENVELOPE_BYTES: usize = 320;

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
    batch: Vec<Place>,
    /// What the batch is called while it is under way.
    under_way: Option<CorrelationId>,
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
            batch: Vec::new(),
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
        self.next.is_none() && self.batch.is_empty()
    }

    /// Whether a batch waits for its answer.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// When the next row is due; a batch that must be sent again is due at once.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        let place = self.batch.first().copied().or(self.next)?;
        Some(self.timeline.taken_at(&self.recording, place))
    }

    /// The next batch: the one to send again, or all rows due at `now` that fit into `max_bytes`. `None` if nothing
    /// is due or a batch is under way.
    pub(crate) fn message(&mut self, now: Timestamp, max_bytes: usize) -> Option<ClientMessage> {
        if self.under_way.is_some() {
            return None;
        }
        if self.batch.is_empty() {
            self.fill(now, max_bytes);
        } else {
            self.counts.resent += self.batch.len() as u64;
        }
        if self.batch.is_empty() {
            return None;
        }
        self.requests += 1;
        let correlation_id = format!("r{}", self.requests).parse().ok();
        self.under_way.clone_from(&correlation_id);
        let batch = self.batch.iter().map(|place| self.measurement(*place)).collect();
        let update = HealthUpdate { patient: Some(self.patient.clone()), data: None, batch: Some(batch) };
        Some(ClientMessage { correlation_id, command: Command::HealthUpdate(update) })
    }

    fn fill(&mut self, now: Timestamp, max_bytes: usize) {
        let mut room = max_bytes.saturating_sub(ENVELOPE_BYTES);
        while let Some(place) = self.next {
            if self.batch.len() == MAX_BATCH || self.timeline.taken_at(&self.recording, place) > now {
                break;
            }
            // The measurement and its comma; the first one goes in any case.
            let size = serde_json::to_vec(&self.measurement(place)).map_or(0, |json| json.len() + 1);
            if size > room && !self.batch.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            self.batch.push(place);
            self.counts.sent += 1;
            self.next = place.next(&self.recording, self.looped);
        }
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
        let (got, sent) = (receipt.results.len(), self.batch.len());
        if got != sent {
            return Err(FeedError::WrongCount { got, sent });
        }
        self.counts.acknowledged += got as u64;
        self.counts.duplicates += receipt.results.iter().filter(|result| result.duplicate).count() as u64;
        self.batch.clear();
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
                Some(index) if index < self.batch.len() => {
                    self.batch.remove(index);
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
        self.under_way.is_some() && self.under_way.as_ref() == id
    }
}

/// The 3 of `batch[3].value`.
fn index_in_batch(field: &str) -> Option<usize> {
    field.strip_prefix("batch[")?.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests;
