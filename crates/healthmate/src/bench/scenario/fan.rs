//! Fan-out of many shapes: servers take turns under the same load, each beside the floor, and medians are reported.

use anyhow::ensure;

use super::Bench;
use crate::bench::house::{House, Site, Told};
use crate::bench::measure::Segment;
use crate::bench::people::Census;
use crate::bench::report::Line;
use crate::bench::stage::{Pace, Stage};
use crate::bench::statistics::{Histogram, median};
use crate::bench::target::{Class, FLOOR, Target, with_peers};

/// One shape of fan-out.
pub(super) struct Shape {
    pub(super) scenario: &'static str,
    pub(super) topics: usize,
    pub(super) readers: usize,
    pub(super) paces: Vec<(String, Pace)>,
    /// Of which classes the events are.
    pub(super) classes: Vec<Class>,
}

impl Bench {
    /// Starts every server, with these people in HealthMate.
    pub(super) async fn targets(&self, census: &Census) -> anyhow::Result<Vec<Target>> {
        self.targets_of_no_class(census, &[]).await
    }

    /// The same, with a HealthMate that is told some settings more: for loads without events.
    pub(super) async fn targets_of_no_class(
        &self,
        census: &Census,
        told: &'static [Told],
    ) -> anyhow::Result<Vec<Target>> {
        let mut targets = self.targets_told(census, told, &[Class::Durable]).await?;
        if let Some(house) = targets.first_mut() {
            "healthmate".clone_into(&mut house.name);
        }
        Ok(targets)
    }

    /// Starts every server, and a HealthMate for each class of events, which is told some settings more.
    pub(super) async fn targets_told(
        &self,
        census: &Census,
        told: &'static [Told],
        classes: &[Class],
    ) -> anyhow::Result<Vec<Target>> {
        let mut houses = Vec::new();
        for class in classes {
            let house = House::open_with(&self.site, &self.clock, census, self.cores, told).await?;
            houses.push(Target::house(house, *class));
        }
        let targets = with_peers(houses, &self.peers, self.cores)?;
        self.cores.take_generators()?;
        Ok(targets)
    }

    /// Measures a shape on every server.
    pub(super) async fn fan(&self, shape: &Shape) -> anyhow::Result<Vec<Line>> {
        let readers = (0..shape.topics * shape.readers).map(|reader| vec![reader / shape.readers]);
        let census = Census {
            patients: shape.topics,
            devices: (0..shape.topics).collect(),
            readers: readers.collect(),
            operator: false,
        };
        let mut stages = Vec::new();
        ensure!(
            shape.classes.len() == 1 || matches!(self.site, Site::Own(..)),
            "two classes need a server each: leave out --server, or --class one of them"
        );
        for target in self.targets_told(&census, &[], &shape.classes).await? {
            self.progress.now(&format!("{}: {} connects", shape.scenario, target.name));
            stages.push(Stage::set(target, &self.clock, shape.topics, shape.readers)?);
        }
        let mut lines = Vec::new();
        for (load, pace) in &shape.paces {
            lines.extend(self.pace(shape.scenario, &mut stages, load, *pace)?);
        }
        Ok(lines)
    }

    fn pace(
        &self,
        scenario: &'static str,
        stages: &mut [Stage],
        load: &str,
        pace: Pace,
    ) -> anyhow::Result<Vec<Line>> {
        let names: Vec<_> = stages.iter().map(|stage| stage.target.name.clone()).collect();
        let found = self.interleave(&names, |number| {
            self.progress.now(&format!("{scenario}: {load}: {}", names[number]));
            stages[number].run(pace, self.seconds)
        })?;
        let rows = names.iter().zip(&found);
        Ok(rows.map(|(server, rounds)| line(scenario, server, load, rounds)).collect())
    }

    /// Measures servers in turn, in another order each round, and the floor before each of them and at the
    /// end. Gives for each its measurements, each with its cost in terms of the floors around it.
    pub(super) fn interleave(
        &self,
        names: &[String],
        mut measure: impl FnMut(usize) -> anyhow::Result<Segment>,
    ) -> anyhow::Result<Vec<Vec<(Segment, f64)>>> {
        let count = names.len();
        let floor = names.iter().position(|name| name == FLOOR);
        let mut order = Vec::new();
        for round in 0..self.rounds {
            for turn in 0..count {
                let server = (turn + round) % count;
                if Some(server) != floor {
                    order.extend(floor);
                    order.push(server);
                }
            }
        }
        order.extend(floor);
        let mut segments = Vec::new();
        for server in &order {
            segments.push(measure(*server)?);
        }
        self.progress.step();
        let cost = |place: usize| segments.get(place).map_or(0.0, Segment::cpu_us);
        let mut found = vec![Vec::new(); count];
        for (place, server) in order.iter().enumerate() {
            let ratio = match floor {
                Some(floor) if floor == *server => 1.0,
                Some(_) => cost(place) / f64::midpoint(cost(place - 1), cost(place + 1)),
                None => 0.0,
            };
            found[*server].push((segments[place].clone(), ratio));
        }
        Ok(found)
    }
}

/// The medians of a server's measurements.
pub(super) fn line(scenario: &'static str, server: &str, load: &str, rounds: &[(Segment, f64)]) -> Line {
    let middle = |figure: fn(&Segment) -> f64| median(rounds.iter().map(|(one, _)| figure(one)).collect());
    let mut latency = Histogram::default();
    for (one, _) in rounds {
        latency.merge(&one.latency);
    }
    let mut figures = vec![
        ("deliveries_per_s", middle(Segment::per_s)),
        ("per_cpu_s", middle(|one| 1e6 / one.cpu_us())),
        ("server_cpu_us", middle(Segment::cpu_us)),
    ];
    let ratio = median(rounds.iter().map(|(_, ratio)| *ratio).collect());
    if ratio > 0.0 {
        figures.push(("x_floor", ratio));
    }
    figures.extend([
        ("p50_ms", latency.percentile_ms(0.5)),
        ("p99_ms", latency.percentile_ms(0.99)),
        ("lost", rounds.iter().map(|(one, _)| one.lost as f64).sum()),
        ("others_percent", middle(|one| one.others_percent)),
    ]);
    Line { scenario, server: server.to_owned(), load: load.to_owned(), figures }
}
