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
        let update = HealthUpdate {
            patient: Some(self.patient.clone()),
            data: None,
            batch: Some(batch),
        };
        Some(ClientMessage {
            correlation_id,
            command: Command::HealthUpdate(update),
        })
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
            value: self
                .recording
                .rows()
                .get(place.row)
                .map_or(f64::NAN, |row| row.value),
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
                    return Err(FeedError::Refused {
                        code: error.code,
                        message: error.message.clone(),
                    });
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
mod tests {
    use healthmate_protocol::Offset;
    use healthmate_protocol::server::MeasurementReceipt;

    use super::super::recording::Selection;
    use super::super::timeline::{Pace, begin};
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().expect("valid")
    }

    /// Ten rows, one a second, of which six are due.
    fn feed() -> Feed {
        let rows: String = (0..10)
            .map(|row| format!("{},{}\n", row * 1000, 60 + row))
            .collect();
        let csv = format!("t_ms,bpm\n{rows}");
        let recording = Recording::read("test", csv.as_bytes(), &Selection::default()).expect("valid");
        let pace = Pace {
            speed: 1.0,
            looped: false,
            history_ms: 5000,
        };
        let beginning = begin(&recording, pace, None, now());
        Feed::new(Arc::new(recording), "p".parse().expect("valid"), false, beginning)
    }

    fn send(feed: &mut Feed, now: Timestamp, max_bytes: usize) -> (CorrelationId, Vec<MeasurementInput>) {
        let message = feed.message(now, max_bytes).expect("something is due");
        assert!(message.to_text().len() <= max_bytes, "the message fits");
        let Command::HealthUpdate(update) = message.command else {
            panic!("not a batch")
        };
        (
            message.correlation_id.expect("named"),
            update.batch.expect("a batch"),
        )
    }

    fn receipt(count: usize, duplicate: bool) -> Acknowledgment {
        let result = MeasurementReceipt {
            offset: Offset(1),
            client_id: None,
            duplicate,
            flags: Vec::new(),
        };
        Acknowledgment {
            patient: "p".parse().expect("valid"),
            results: vec![result; count],
        }
    }

    fn error(code: ErrorCode, field: Option<&str>) -> Error {
        Error {
            code,
            message: "no".to_owned(),
            field: field.map(str::to_owned),
            retry: code.retry(),
        }
    }

    #[test]
    fn what_is_due_goes_in_one_batch_and_the_rest_when_it_falls_due() {
        let mut feed = feed();
        assert_eq!(feed.remaining(), Some(10));
        let (id, batch) = send(&mut feed, now(), 65_536);
        assert_eq!(batch.len(), 6);
        assert_eq!(feed.message(now(), 65_536), None, "one batch at a time");
        assert_eq!(feed.acknowledged(Some(&id), &receipt(6, false)), Ok(true));
        assert_eq!(feed.message(now(), 65_536), None, "nothing is due");
        assert_eq!(feed.due_at(), Some(now().plus_millis(1000)));
        let (id, batch) = send(&mut feed, now().plus_millis(4000), 65_536);
        assert_eq!(batch.len(), 4);
        assert!(!feed.is_finished());
        assert_eq!(feed.acknowledged(Some(&id), &receipt(4, true)), Ok(true));
        assert!(feed.is_finished());
        assert_eq!(
            feed.counts(),
            Counts {
                sent: 10,
                acknowledged: 10,
                duplicates: 4,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn batches_keep_to_the_servers_message_size_and_hold_at_least_one() {
        let mut feed = feed();
        let (id, batch) = send(&mut feed, now(), 1024);
        assert!(!batch.is_empty() && batch.len() < 6, "{}", batch.len());
        assert_eq!(
            feed.acknowledged(Some(&id), &receipt(batch.len(), false)),
            Ok(true)
        );
        let message = feed.message(now(), 1).expect("one at least");
        let Command::HealthUpdate(update) = message.command else {
            panic!("not a batch")
        };
        assert_eq!(update.batch.expect("a batch").len(), 1);
    }

    #[test]
    fn after_a_cut_the_same_rows_are_sent_under_the_same_names() {
        let mut feed = feed();
        let (first, before) = send(&mut feed, now(), 65_536);
        feed.cut();
        let (second, after) = send(&mut feed, now().plus_millis(60_000), 65_536);
        assert!(before == after, "the batch does not grow");
        assert!(before.iter().all(|input| input.client_id.is_some()));
        assert_eq!(
            feed.acknowledged(Some(&first), &receipt(6, false)),
            Ok(false),
            "a late answer"
        );
        assert_eq!(feed.acknowledged(Some(&second), &receipt(6, true)), Ok(true));
        assert_eq!(
            feed.counts(),
            Counts {
                sent: 6,
                acknowledged: 6,
                duplicates: 6,
                resent: 6,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_value_that_is_refused_is_skipped_and_the_others_are_sent_again() {
        let mut feed = feed();
        let (id, before) = send(&mut feed, now(), 65_536);
        let implausible = error(ErrorCode::ImplausibleValue, Some("batch[2].value"));
        assert_eq!(feed.refused(Some(&id), &implausible), Ok(true));
        let (id, after) = send(&mut feed, now(), 65_536);
        assert!(after[..2] == before[..2] && after[2..] == before[3..]);
        assert_eq!(feed.acknowledged(Some(&id), &receipt(5, false)), Ok(true));
        assert_eq!(feed.counts().skipped, 1);
        assert_eq!(feed.counts().acknowledged, 5);
    }

    #[test]
    fn a_batch_of_nothing_but_refused_values_ends() {
        let mut feed = feed();
        let (mut id, _) = send(&mut feed, now(), 65_536);
        for left in (0..6).rev() {
            let implausible = error(ErrorCode::ImplausibleValue, Some("batch[0].value"));
            assert_eq!(feed.refused(Some(&id), &implausible), Ok(true));
            if left > 0 {
                id = send(&mut feed, now(), 65_536).0;
            }
        }
        assert_eq!(feed.message(now(), 65_536), None);
        assert_eq!(feed.counts().skipped, 6);
        assert_eq!(feed.due_at(), Some(now().plus_millis(1000)));
    }

    #[test]
    fn what_helps_later_is_kept_and_what_never_helps_ends_the_replay() {
        let mut feed = feed();
        let (id, before) = send(&mut feed, now(), 65_536);
        assert_eq!(
            feed.refused(Some(&id), &error(ErrorCode::StorageFull, None)),
            Ok(true)
        );
        let (id, after) = send(&mut feed, now(), 65_536);
        assert!(before == after);
        let refused = feed.refused(Some(&id), &error(ErrorCode::AccessDenied, None));
        assert!(matches!(
            refused,
            Err(FeedError::Refused {
                code: ErrorCode::AccessDenied,
                ..
            })
        ));
        let past_the_end = error(ErrorCode::InvalidField, Some("batch[6].value"));
        assert!(feed.refused(Some(&id), &past_the_end).is_err());
        assert!(
            feed.refused(Some(&id), &error(ErrorCode::InvalidField, Some("batch")))
                .is_err()
        );
    }

    #[test]
    fn an_acknowledgment_of_another_size_is_no_acknowledgment() {
        let mut feed = feed();
        let (id, _) = send(&mut feed, now(), 65_536);
        let wrong = feed.acknowledged(Some(&id), &receipt(5, false));
        assert_eq!(wrong, Err(FeedError::WrongCount { got: 5, sent: 6 }));
    }
}
