//! Many connections: what each costs to let in, and to keep while nothing happens.

use std::time::Duration;

use super::Bench;
use crate::bench::clock;
use crate::bench::door::{Guest, admit};
use crate::bench::measure::{Meter, Segment};
use crate::bench::net::Net;
use crate::bench::people::Census;
use crate::bench::report::Line;
use crate::bench::statistics::median;
use crate::bench::target::Target;

/// How many connections are opened in one measurement.
const OPENED: usize = 2000;

/// How many are being opened at once.
const TOGETHER: usize = 32;

/// The loads of `connect`: the same, and a wave, as after a cut or a deploy.
pub(super) const LOADS: [usize; 2] = [TOGETHER, 256];

/// How many patients the readers of the idle crowd share.
const PATIENTS: usize = 1000;

const MIB: f64 = 1_048_576.0;

/// How many of an idle crowd come before the server's memory is looked at first: what it loads once, it has loaded then.
const FIRST: usize = 100;

/// How long a crowd is left alone before its memory is looked at.
const REST_NS: u64 = 1_000_000_000;

impl Bench {
    /// Connects, signs in and subscribes, again and again, on every server in turn.
    pub(super) async fn connect(&self) -> anyhow::Result<Vec<Line>> {
        let readers = (0..OPENED).map(|reader| vec![reader % PATIENTS]);
        let census = Census { patients: PATIENTS, readers: readers.collect(), ..Census::default() };
        let mut all = Vec::new();
        for target in self.targets(&census).await? {
            let guests = crowd(&target, &census)?;
            all.push((target, guests));
        }
        let mut lines = Vec::new();
        for together in LOADS {
            lines.extend(self.connect_together(&all, together)?);
        }
        Ok(lines)
    }

    fn connect_together(&self, all: &[(Target, Vec<Guest>)], together: usize) -> anyhow::Result<Vec<Line>> {
        let names: Vec<_> = all.iter().map(|(target, _)| target.name.clone()).collect();
        let found = self.interleave(&names, |number| {
            self.progress.now(&format!("connect: {}, {together} at a time", names[number]));
            let (target, guests) = &all[number];
            open(target, guests, together)
        })?;
        let line = |(server, rounds): (&String, &Vec<(Segment, f64)>)| {
            let middle =
                |figure: fn(&Segment) -> f64| median(rounds.iter().map(|(one, _)| figure(one)).collect());
            Line {
                scenario: "connect",
                server: server.clone(),
                load: format!("{together} at a time"),
                figures: vec![
                    ("connections_per_s", middle(Segment::per_s)),
                    ("server_cpu_us", middle(Segment::cpu_us)),
                    ("x_floor", median(rounds.iter().map(|(_, ratio)| *ratio).collect())),
                    ("others_percent", middle(|one| one.others_percent)),
                ],
            }
        };
        Ok(names.iter().zip(&found).map(line).collect())
    }

    /// Looks at a server's memory before and after a crowd came that does nothing.
    pub(super) async fn idle(&self) -> anyhow::Result<Vec<Line>> {
        let readers = (0..self.idle).map(|reader| vec![reader % PATIENTS, (reader + 7) % PATIENTS]);
        let census = Census { patients: PATIENTS, readers: readers.collect(), ..Census::default() };
        let mut lines = Vec::new();
        for target in self.targets(&census).await? {
            self.progress.now(&format!("idle: {}", target.name));
            let guests = crowd(&target, &census)?;
            let (first, rest) = guests.split_at(FIRST.min(self.idle / 2));
            let mut net = Net::new()?;
            let mut come = |guests: &[Guest]| {
                admit(&mut net, target.process().address(), guests, TOGETHER, |_, _| {})?;
                linger(&mut net)?;
                anyhow::Ok(target.process().usage().rss)
            };
            let (before, after) = (come(first)?, come(rest)?);
            let each = after.saturating_sub(before) as f64 / rest.len() as f64 / 1024.0;
            lines.push(Line {
                scenario: "idle",
                server: target.name.clone(),
                load: format!("{} connections, 2 topics each", self.idle),
                figures: vec![
                    ("rss_before_mib", before as f64 / MIB),
                    ("rss_after_mib", after as f64 / MIB),
                    ("kib_each", each),
                ],
            });
        }
        self.progress.step();
        Ok(lines)
    }
}

fn crowd(target: &Target, census: &Census) -> anyhow::Result<Vec<Guest>> {
    census.readers.iter().enumerate().map(|(number, read)| target.reader(number, read)).collect()
}

fn open(target: &Target, guests: &[Guest], together: usize) -> anyhow::Result<Segment> {
    let mut net = Net::new()?;
    let meter = Meter::begin(target.process());
    admit(&mut net, target.process().address(), guests, together, |_, _| {})?;
    let segment = Segment { deliveries: guests.len() as u64, ..meter.end(target.process()) };
    drop(net);
    // The server sees everybody off before it is measured again.
    linger(&mut Net::new()?)?;
    Ok(segment)
}

/// Listens for a while.
fn linger(net: &mut Net) -> anyhow::Result<()> {
    let until = clock::nanos() + REST_NS;
    while clock::nanos() < until {
        net.turn(Duration::from_millis(50), |_, _, _| Ok(()))?;
    }
    Ok(())
}
