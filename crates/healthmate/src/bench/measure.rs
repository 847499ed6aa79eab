//! What a server used while it was under load.

use super::clock;
use super::process::{Process, Usage, busy_ns, own_usage};
use super::statistics::Histogram;

/// Runs while a server is measured.
pub(crate) struct Meter {
    at: u64,
    busy: u64,
    server: Usage,
    own: Usage,
}

/// One measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// How long it took.
    pub(crate) seconds: f64,
    /// Processor time of the server, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Processor time of others than server and generator, as a share of one core, in percent.
    pub(crate) others_percent: f64,
    /// Messages received; or answers, or connections opened.
    pub(crate) deliveries: u64,
    /// Messages that never came, or came out of turn.
    pub(crate) lost: u64,
    /// From when each message was due to when it was read.
    pub(crate) latency: Histogram,
}

impl Segment {
    pub(crate) fn per_s(&self) -> f64 {
        self.deliveries as f64 / self.seconds
    }

    /// Processor time of the server for each delivery, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.deliveries.max(1) as f64
    }
}

impl Meter {
    pub(crate) fn begin(server: &Process) -> Self {
        Self { busy: busy_ns(), own: own_usage(), server: server.usage(), at: clock::nanos() }
    }

    pub(crate) fn end(self, server: &Process) -> Segment {
        let seconds = clock::seconds(self.at, clock::nanos());
        let cpu_ns = server.usage().cpu_ns.saturating_sub(self.server.cpu_ns);
        let own_ns = own_usage().cpu_ns - self.own.cpu_ns;
        let others = (busy_ns() - self.busy).saturating_sub(cpu_ns + own_ns);
        let others_percent = others as f64 / seconds / 1e7;
        Segment { seconds, cpu_ns, others_percent, ..Segment::default() }
    }
}
