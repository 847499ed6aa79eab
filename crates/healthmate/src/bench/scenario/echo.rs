//! Request and reply: 64 connections that ask as soon as they are answered.

use std::time::Duration;

use super::{Bench, fan};
use crate::bench::clock;
use crate::bench::door::admit;
use crate::bench::measure::{Meter, Segment};
use crate::bench::net::{Net, Received};
use crate::bench::people::Census;
use crate::bench::report::Line;
use crate::bench::target::Target;

const CONNECTIONS: usize = 64;

const WARM_UP_NS: u64 = 300_000_000;

/// A server and those who ask it.
struct Pingers {
    target: Target,
    net: Net,
    /// When each asked.
    asked: Vec<u64>,
}

impl Bench {
    /// Measures requests on every server in turn.
    pub(super) async fn echo(&self) -> anyhow::Result<Vec<Line>> {
        let census = Census { readers: vec![Vec::new(); CONNECTIONS], ..Census::default() };
        let mut all = Vec::new();
        for target in self.targets(&census).await? {
            all.push(Pingers::connect(target)?);
        }
        let names: Vec<_> = all.iter().map(|one| one.target.name.clone()).collect();
        let found = self.interleave(&names, |number| {
            self.progress.now(&format!("echo: {}", names[number]));
            all[number].run(self.seconds)
        })?;
        let load = format!("{CONNECTIONS} connections");
        let rows = names.iter().zip(&found);
        Ok(rows.map(|(server, rounds)| fan::line("echo", server, &load, rounds)).collect())
    }
}

impl Pingers {
    fn connect(target: Target) -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        let guests = (0..CONNECTIONS).map(|number| target.pinger(number)).collect::<Result<Vec<_>, _>>()?;
        admit(&mut net, target.process().address(), &guests, CONNECTIONS, |_, _| {})?;
        Ok(Self { target, net, asked: vec![0; CONNECTIONS] })
    }

    fn run(&mut self, seconds: f64) -> anyhow::Result<Segment> {
        let Self { target, net, asked } = self;
        let mut segment = Segment::default();
        for (number, at) in asked.iter_mut().enumerate() {
            *at = clock::nanos();
            net.sockets().send(number, Target::PING)?;
        }
        let mut turn = |segment: &mut Segment, again: bool| {
            let mut answers = 0;
            net.turn(Duration::ZERO, |sockets, number, received| {
                let Received::Message(message) = received else { return Ok(()) };
                // A heartbeat is no answer.
                if !message.starts_with(br#"{"type":"p"#) {
                    return Ok(());
                }
                answers += 1;
                segment.latency.add(sockets.read_at() - asked[number]);
                asked[number] = sockets.read_at();
                if again { sockets.send(number, Target::PING) } else { Ok(()) }
            })?;
            segment.deliveries += answers;
            Ok::<_, anyhow::Error>(answers)
        };
        let warm = clock::nanos() + WARM_UP_NS;
        while clock::nanos() < warm {
            turn(&mut segment, true)?;
        }
        segment = Segment::default();
        let meter = Meter::begin(target.process());
        let until = clock::nanos() + (seconds * 1e9) as u64;
        while clock::nanos() < until {
            turn(&mut segment, true)?;
        }
        let measured = meter.end(target.process());
        let mut last = Segment::default();
        while last.deliveries < CONNECTIONS as u64 {
            turn(&mut last, false)?;
        }
        Ok(Segment { deliveries: segment.deliveries, latency: segment.latency, ..measured })
    }
}
