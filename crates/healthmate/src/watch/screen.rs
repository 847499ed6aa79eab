//! Writes events to the terminal: events on stdout, everything else on stderr.

use std::io::{self, Write};
use std::time::Duration;

use healthmate_protocol::server::{Presence, PresenceResponse};
use healthmate_protocol::{
    ErrorCode, MeasurementData, NotificationData, Offset, ServerMessage, WaveformData,
};

use super::{Gap, Tail, Viewer, curve};
use crate::client::{ClientError, Link, Received};

/// How wide a waveform is drawn, in columns.
const CURVE_COLUMNS: usize = 50;

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
    /// The smallest and largest sample so far, so that all curves have one scale.
    range: Option<(f64, f64)>,
}

impl<E: Write + Send, N: Write + Send> Screen<E, N> {
    /// Writes events to `events` and what else is to be known to `notes`.
    pub(crate) fn new(format: Format, events: E, notes: N) -> Self {
        Self { format, events, notes, range: None }
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
        let timestamp = received.envelope.timestamp;
        let line = match (&received.envelope.message, self.format) {
            (_, Format::Json) => received.text.as_str().to_owned(),
            (ServerMessage::HealthUpdate(data), Format::Columns) => {
                columns(received.envelope.offset.unwrap_or(Offset::START), data)
            }
            (ServerMessage::Notification(data), Format::Columns) => {
                told(received.envelope.offset.unwrap_or(Offset::START), data)
            }
            (ServerMessage::HealthWaveform(data), Format::Columns) => self.strip(data),
            (ServerMessage::PresenceUpdate(update), Format::Columns) => {
                let what = match update.presence {
                    Presence::Joined => "watches now",
                    Presence::Left => "has left",
                };
                format!("{timestamp}          {}  {what}", update.user_id)
            }
            (other, Format::Columns) => format!("{timestamp}          {}", other.name()),
        };
        writeln!(self.events, "{line}")?;
        self.events.flush()
    }

    fn subscribed(&mut self, tail: &Tail) {
        self.note(&match tail.since() {
            Some(since) => format!("watching {} after {}:{}", tail.name(), since.epoch, since.offset),
            None => format!("watching the newest values of {}", tail.name()),
        });
    }

    fn gap(&mut self, gap: &Gap) {
        self.note(&gap.to_string());
    }

    fn merged(&mut self, merged: u64) {
        self.note(&format!("{merged} values were replaced by newer ones before they could be sent"));
    }

    fn present(&mut self, present: &PresenceResponse) {
        for user in &present.present {
            let what = if user.watching { "watches" } else { "is connected" };
            self.note(&format!("{} ({}) {what}, since {}", user.user_id, user.role, user.since));
        }
    }

    fn absent(&mut self, code: ErrorCode) {
        self.note(&format!("the server does not tell who is there: {}", code.as_str()));
    }
}

impl<E, N> Screen<E, N> {
    /// `2026-11-23T07:00:00.000000Z          ecg_lead_ii  ▂▂▂▃▂▂█▁▂▂▃▃▂  mV #17`
    fn strip(&mut self, data: &WaveformData) -> String {
        self.range = curve::widened(self.range, &data.samples);
        let drawn =
            self.range.map(|range| curve::draw(&data.samples, CURVE_COLUMNS, range)).unwrap_or_default();
        let number = data.sequence.map(|number| format!(" #{number}")).unwrap_or_default();
        format!("{}          {}  {drawn}  {}{number}", data.started_at, data.waveform, data.unit)
    }
}

/// `2026-11-23T07:00:00.000000Z      41  heart_rate  72 /min`
fn columns(offset: Offset, data: &MeasurementData) -> String {
    let value = (data.value * 100.0).round() / 100.0;
    format!("{}  {:>6}  {}  {value} {}", data.taken_at, offset.0, data.metric, data.unit)
}

/// `2026-11-23T07:00:00.000000Z      41  urgent  Your data was opened in an emergency: Dan Weber (doctor) …`
fn told(offset: Offset, data: &NotificationData) -> String {
    // Somebody else wrote a part of it: it must not steer the terminal.
    let plain = |text: &str| text.replace(char::is_control, " ");
    let NotificationData { created_at, priority, title, body, .. } = data;
    format!("{created_at}  {:>6}  {}  {}: {}", offset.0, priority.as_str(), plain(title), plain(body))
}
