//! Shows how a replay gets on.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use healthmate_care::Clock;
use healthmate_protocol::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Counts, Observer};
use crate::client::{ClientError, Link};

/// How often a line is written where there is no terminal, in milliseconds.
const LINE_INTERVAL_MS: i64 = 10_000;

/// Shows a bar on a terminal and writes a line every 10 s elsewhere; all on stderr.
pub(crate) struct Terminal {
    clock: Arc<dyn Clock>,
    bar: Option<ProgressBar>,
    began: Timestamp,
    last_line: Timestamp,
    rows: Option<u64>,
}

impl Terminal {
    /// Shows the replay of the recording `name`.
    pub(crate) fn new(clock: Arc<dyn Clock>, name: &str) -> Self {
        let now = clock.now();
        let bar =
            std::io::stderr().is_terminal().then(|| ProgressBar::no_length().with_prefix(name.to_owned()));
        Self { clock, bar, began: now, last_line: now, rows: None }
    }

    /// Acknowledged rows per second since the replay began.
    fn rate(&self, counts: Counts, now: Timestamp) -> f64 {
        let seconds = now.millis_since(self.began).max(1) as f64 / 1000.0;
        counts.acknowledged as f64 / seconds
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // Nobody reads stderr any more: there is nobody to tell.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }
}

impl Link for Terminal {
    fn cut(&mut self, error: &ClientError, pause: Duration) {
        self.say(&format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
    }

    fn restored(&mut self) {
        self.say("connected again");
    }
}

impl Observer for Terminal {
    fn begins(&mut self, rows: Option<u64>) {
        self.rows = rows;
        self.began = self.clock.now();
        let Some(bar) = &self.bar else { return };
        let template = if rows.is_some() {
            "{prefix} {wide_bar} {pos}/{len} {msg}"
        } else {
            "{prefix} {spinner} {pos} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if let Some(rows) = rows {
            bar.set_length(rows);
        }
    }

    fn moved(&mut self, counts: Counts) {
        let now = self.clock.now();
        let line = describe(counts, self.rate(counts, now));
        if let Some(bar) = &self.bar {
            bar.set_position(counts.acknowledged + counts.skipped);
            bar.set_message(line);
        } else if now.millis_since(self.last_line) >= LINE_INTERVAL_MS {
            self.last_line = now;
            self.say(&line);
        }
    }
}

/// `sent 7, acknowledged 6 (1.2/s), skipped 1`
fn describe(counts: Counts, rate: f64) -> String {
    let mut line = format!("sent {}, acknowledged {} ({rate:.1}/s)", counts.sent, counts.acknowledged);
    for (what, count) in [("skipped", counts.skipped), ("sent again", counts.resent)] {
        if count > 0 {
            line = format!("{line}, {what} {count}");
        }
    }
    line
}

/// Tells the log about cuts, and shows nothing.
pub(crate) struct Quiet {
    name: String,
}

impl Quiet {
    /// Tells of the recording `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

impl Link for Quiet {
    fn cut(&mut self, error: &ClientError, pause: Duration) {
        let pause_ms = pause.as_millis() as u64;
        tracing::debug!(recording = self.name, pause_ms, %error, "a device of the demo lost its connection");
    }

    fn restored(&mut self) {
        tracing::debug!(recording = self.name, "a device of the demo is connected again");
    }
}

impl Observer for Quiet {
    fn begins(&mut self, rows: Option<u64>) {
        tracing::debug!(recording = self.name, rows, "a device of the demo begins");
    }

    fn moved(&mut self, _: Counts) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_only_what_happened() {
        let mut counts = Counts { sent: 7, acknowledged: 6, ..Counts::default() };
        assert_eq!(describe(counts, 1.24), "sent 7, acknowledged 6 (1.2/s)");
        counts.skipped = 1;
        counts.resent = 3;
        assert_eq!(describe(counts, 1.26), "sent 7, acknowledged 6 (1.3/s), skipped 1, sent again 3");
    }
}
