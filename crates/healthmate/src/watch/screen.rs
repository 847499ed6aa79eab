//! Writes events to the terminal: events on stdout, everything else on stderr.

use std::io::{self, Write};
use std::time::Duration;

use healthmate_protocol::{MeasurementData, Offset, ServerMessage};

use super::{Gap, Tail, Viewer};
use crate::client::{ClientError, Link, Received};

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Time, offset, metric, value and unit in columns.
    Columns,
    /// The server's JSON as it came.
    Json,
}

/// The terminal.
pub(crate) struct Screen<E, N> {
    format: Format,
    events: E,
    notes: N,
}

impl<E: Write + Send, N: Write + Send> Screen<E, N> {
    /// Writes events to `events` and what else is to be known to `notes`.
    pub(crate) fn new(format: Format, events: E, notes: N) -> Self {
        Self { format, events, notes }
    }

    fn note(&mut self, line: &str) {
        // Nobody reads the notes any more: there is nobody to tell.
        let _ = writeln!(self.notes, "{line}");
    }
}

impl<E: Write + Send, N: Write + Send> Link for Screen<E, N> {
    fn cut(&mut self, error: &ClientError, pause: Duration) {
        self.note(&format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
    }

    fn restored(&mut self) {
        self.note("connected again");
    }
}

impl<E: Write + Send, N: Write + Send> Viewer for Screen<E, N> {
    fn event(&mut self, received: &Received) -> io::Result<()> {
        let Some(offset) = &received.envelope.offset else {
            return Ok(());
        };
        match (&received.envelope.message, self.format) {
            (_, Format::Json) => writeln!(self.events, "{}", received.text.as_str())?,
            (ServerMessage::HealthUpdate(data), Format::Columns) => {
                writeln!(self.events, "{}", columns(*offset, data))?;
            }
            (other, Format::Columns) => {
                writeln!(self.events, "{}  {offset:>6}  {}", received.envelope.timestamp, other.name())?;
            }
        }
        self.events.flush()
    }

    fn subscribed(&mut self, tail: &Tail) {
        if let Some(since) = tail.since() {
            self.note(&format!("watching {} after {}:{}", tail.name(), since.epoch, since.offset));
        }
    }

    fn gap(&mut self, gap: &Gap) {
        self.note(&gap.to_string());
    }
}

/// `2026-11-23T07:00:00.000000Z      41  heart_rate  72 /min`
fn columns(offset: Offset, data: &MeasurementData) -> String {
    let value = (data.value * 100.0).round() / 100.0;
    format!("{}  {:>6}  {}  {value} {}", data.taken_at, offset.0, data.metric, data.unit)
}
