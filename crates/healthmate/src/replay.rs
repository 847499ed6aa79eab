//! Replays a recording as an ordinary device client: signs in, sends what is due, waits until it is on disk, and
//! goes on after a cut where it stopped.
//!
//! One batch is under way at a time. That is what makes the newest stored row tell, also to a later process, where
//! to go on: nothing before it can be missing.

mod feed;
mod progress;
mod recording;
mod timeline;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use healthmate_care::Clock;
use healthmate_protocol::client::GetHealthData;
use healthmate_protocol::server::RecordedMeasurement;
use healthmate_protocol::{ClientMessage, Command, ErrorCode, ServerMessage, UserId};
use tokio::time::Instant;

use crate::client::{ClientError, Connection, Link, Offsets, Reconnect};

pub(crate) use feed::{Counts, Feed, FeedError};
pub(crate) use progress::{Quiet, Terminal};
pub(crate) use recording::{Recording, Selection};
pub(crate) use timeline::Pace;

/// How long an acknowledgment may take before the connection counts as broken.
const ACKNOWLEDGMENT_PATIENCE: Duration = Duration::from_secs(30);

/// The shortest pause between two batches, so that a fast replay sends some rows together.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// What `get_health_data` is called.
const HISTORY_REQUEST: &str = "newest";

/// Hears how the replay gets on.
pub(crate) trait Observer: Link {
    /// The replay begins, with this many rows to go; `None` if it never ends.
    fn begins(&mut self, rows: Option<u64>);

    /// Rows were sent, acknowledged or skipped.
    fn moved(&mut self, counts: Counts);
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// Coming back cannot help.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refuses the whole of it.
    #[error("the server refuses: {} ({message})", code.as_str())]
    Refused { code: ErrorCode, message: String },
    /// The server's answers do not fit the requests.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Why one connection's part of the replay ended before the recording did.
enum Interruption {
    /// The connection ended.
    Cut(ClientError),
    /// The server cannot serve the request now.
    Busy,
    /// The replay cannot go on.
    Fatal(ReplayError),
}

impl From<ClientError> for Interruption {
    fn from(error: ClientError) -> Self {
        Self::Cut(error)
    }
}

impl From<FeedError> for Interruption {
    fn from(error: FeedError) -> Self {
        Self::Fatal(match error {
            FeedError::Refused { code, message } => ReplayError::Refused { code, message },
            other @ FeedError::WrongCount { .. } => ReplayError::Feed(other),
        })
    }
}

/// A recording on its way to one patient.
pub(crate) struct Replay {
    /// What is replayed.
    pub(crate) recording: Arc<Recording>,
    /// Whose measurements they become.
    pub(crate) patient: UserId,
    /// How fast, how often, and from how far back.
    pub(crate) pace: Pace,
    /// The time of day.
    pub(crate) clock: Arc<dyn Clock>,
    /// Makes the connections.
    pub(crate) reconnect: Reconnect,
    /// Hears how it gets on.
    pub(crate) observer: Box<dyn Observer>,
}

impl Replay {
    /// Replays until the recording ends or `stop` completes, says good-bye, and returns what became of it.
    ///
    /// # Errors
    /// If the token, the address or the patient is refused, or the server breaks the protocol.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<Counts, ReplayError> {
        let (mut counts, mut connection) = (Counts::default(), None);
        let ended = tokio::select! {
            ended = self.until_done(&mut connection, &mut counts) => ended,
            () = stop => Ok(()),
        };
        if let Some(connection) = connection {
            connection.close().await;
        }
        ended.map(|()| counts)
    }

    /// Connects and sends until the recording ends; `open` and `counts` are kept up to date.
    async fn until_done(
        &mut self,
        open: &mut Option<Connection>,
        counts: &mut Counts,
    ) -> Result<(), ReplayError> {
        let mut feed = None;
        loop {
            let connection =
                open.insert(self.reconnect.connect(self.observer.as_mut(), &Offsets::new()).await?);
            let ended = self.on_connection(connection, &mut feed, counts).await;
            if let Some(feed) = &mut feed {
                feed.cut();
            }
            match ended {
                Ok(()) => return Ok(()),
                Err(Interruption::Cut(error)) => {
                    *open = None;
                    self.reconnect.pause_after(error, self.observer.as_mut()).await?;
                }
                Err(Interruption::Busy) => {
                    if let Some(connection) = open.take() {
                        connection.close().await;
                    }
                    self.reconnect.pause().await;
                }
                Err(Interruption::Fatal(error)) => return Err(error),
            }
        }
    }

    /// Does what one connection can do: finds out where to begin, then sends what falls due.
    async fn on_connection(
        &mut self,
        connection: &mut Connection,
        feed: &mut Option<Feed>,
        counts: &mut Counts,
    ) -> Result<(), Interruption> {
        let feed = if let Some(begun) = feed {
            begun
        } else {
            let newest = self.newest(connection).await?;
            feed.insert(self.begin(newest.as_ref()))
        };
        loop {
            let now = self.clock.now();
            if let Some(message) = feed.message(now, connection.established.max_message_bytes as usize) {
                connection.send(&message).await?;
                self.report(feed, counts);
            }
            if feed.is_finished() {
                return Ok(());
            }
            self.answered(connection, feed).await?;
            self.report(feed, counts);
            let pause_ms = feed.due_at().map_or(0, |due| due.millis_since(self.clock.now()));
            if pause_ms > 0 {
                let pause = Duration::from_millis(pause_ms.unsigned_abs());
                idle(connection, pause.max(SHORTEST_PAUSE)).await?;
            }
        }
    }

    /// Waits until the batch under way is answered, if there is one.
    async fn answered(&mut self, connection: &mut Connection, feed: &mut Feed) -> Result<(), Interruption> {
        let deadline = Instant::now() + ACKNOWLEDGMENT_PATIENCE;
        while feed.is_under_way() {
            let received = tokio::time::timeout_at(deadline, connection.next()).await.map_err(|_| {
                let seconds = ACKNOWLEDGMENT_PATIENCE.as_secs();
                ClientError::Broken(format!("no acknowledgment within {seconds} s"))
            })??;
            let id = received.envelope.correlation_id;
            match received.envelope.message {
                ServerMessage::Acknowledgment(receipt) if feed.acknowledged(id.as_ref(), &receipt)? => {
                    self.reconnect.progressed();
                }
                ServerMessage::Error(error) if feed.refused(id.as_ref(), &error)? && error.retry => {
                    tracing::debug!(code = error.code.as_str(), "the batch is sent again after a pause");
                    self.reconnect.pause().await;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The newest measurement of this metric that the server holds of the patient.
    async fn newest(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<RecordedMeasurement>, Interruption> {
        let command = Command::GetHealthData(GetHealthData {
            patient: Some(self.patient.clone()),
            metric: Some(self.recording.metric().as_str().to_owned()),
            limit: Some(1),
            ..GetHealthData::default()
        });
        let correlation_id = HISTORY_REQUEST.parse().ok();
        connection.send(&ClientMessage { correlation_id, command }).await?;
        loop {
            match connection.next().await?.envelope.message {
                ServerMessage::HealthDataResponse(page) => return Ok(page.measurements.into_iter().next()),
                ServerMessage::Error(error) if error.retry => return Err(Interruption::Busy),
                ServerMessage::Error(error) => {
                    let (code, message) = (error.code, error.message);
                    return Err(Interruption::Fatal(ReplayError::Refused { code, message }));
                }
                _ => {}
            }
        }
    }

    fn begin(&mut self, newest: Option<&RecordedMeasurement>) -> Feed {
        let newest = newest.map(|stored| (stored.data.taken_at, stored.data.client_id.as_ref()));
        let beginning = timeline::begin(&self.recording, self.pace, newest, self.clock.now());
        let feed = Feed::new(Arc::clone(&self.recording), self.patient.clone(), self.pace.looped, beginning);
        self.observer.begins(feed.remaining());
        feed
    }

    fn report(&mut self, feed: &Feed, counts: &mut Counts) {
        *counts = feed.counts();
        self.observer.moved(*counts);
    }
}

/// Listens for `pause`, so that a cut is noticed and heartbeats are taken while nothing is due.
async fn idle(connection: &mut Connection, pause: Duration) -> Result<(), ClientError> {
    let until = Instant::now() + pause;
    while let Ok(received) = tokio::time::timeout_at(until, connection.next()).await {
        received?;
    }
    Ok(())
}
