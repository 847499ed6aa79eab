//! Sends an ECG as a monitor would: strip after strip, as they are taken, and nothing of what was missed while away.

mod ecg;
mod strips;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use healthmate_care::Clock;
use healthmate_protocol::{ErrorCode, ServerMessage, UserId};
use tokio::time::Instant;

use crate::client::{ClientError, Connection, Link, Offsets, Reconnect};

pub(crate) use ecg::Ecg;
use strips::Strips;

/// Why sending ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaveformError {
    /// Coming back cannot help.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server takes none of it.
    #[error("the server refuses: {} ({message})", code.as_str())]
    Refused { code: ErrorCode, message: String },
}

/// An ECG on its way to one patient's watchers.
pub(crate) struct Monitor {
    /// The curve.
    pub(crate) ecg: Ecg,
    /// Samples per second.
    pub(crate) rate_hz: f64,
    /// Whose it is.
    pub(crate) patient: UserId,
    /// For how long to send; `None` for ever.
    pub(crate) duration: Option<Duration>,
    /// The time of day.
    pub(crate) clock: Arc<dyn Clock>,
    /// Makes the connections.
    pub(crate) reconnect: Reconnect,
    /// Hears about cuts.
    pub(crate) link: Box<dyn Link>,
}

impl Monitor {
    /// Sends until its time is over or `stop` completes, says good-bye, and returns how many strips it sent.
    ///
    /// # Errors
    /// If the token, the address or the waveform is refused, or the server breaks the protocol.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<u64, WaveformError> {
        let (mut sent, mut connection) = (0, None);
        let over = until(self.duration);
        let ended = tokio::select! {
            ended = self.send(&mut connection, &mut sent) => ended,
            () = over => Ok(()),
            () = stop => Ok(()),
        };
        if let Some(connection) = connection {
            connection.close().await;
        }
        ended.map(|()| sent)
    }

    /// Connects and sends; `open` and `sent` are kept up to date.
    async fn send(&mut self, open: &mut Option<Connection>, sent: &mut u64) -> Result<(), WaveformError> {
        let mut strips = Strips::new(self.ecg, self.patient.clone(), self.rate_hz, self.clock.now());
        loop {
            let connection = open.insert(self.reconnect.connect(self.link.as_mut(), &Offsets::new()).await?);
            let error = match self.on_connection(connection, &mut strips, sent).await {
                Err(WaveformError::Client(error)) => error,
                ended => return ended,
            };
            *open = None;
            self.reconnect.pause_after(error, self.link.as_mut()).await?;
        }
    }

    async fn on_connection(
        &mut self,
        connection: &mut Connection,
        strips: &mut Strips,
        sent: &mut u64,
    ) -> Result<(), WaveformError> {
        loop {
            while let Some(strip) = strips.take(self.clock.now()) {
                connection.send(&strip).await?;
                *sent += 1;
            }
            let pause_ms = strips.due_at().millis_since(self.clock.now()).max(1);
            self.listen(connection, Duration::from_millis(pause_ms.unsigned_abs())).await?;
        }
    }

    /// Listens for `pause`: a strip that is taken is not answered.
    async fn listen(&mut self, connection: &mut Connection, pause: Duration) -> Result<(), WaveformError> {
        let until = Instant::now() + pause;
        while let Ok(received) = tokio::time::timeout_at(until, connection.next()).await {
            match received?.envelope.message {
                // Asked for too often: what comes later may be taken.
                ServerMessage::Error(error) if error.retry => {}
                ServerMessage::Error(error) => {
                    return Err(WaveformError::Refused { code: error.code, message: error.message });
                }
                _ => self.reconnect.progressed(),
            }
        }
        Ok(())
    }
}

async fn until(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
