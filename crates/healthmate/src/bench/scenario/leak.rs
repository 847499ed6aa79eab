//! Connections that end in every way there is: what is left of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Bench;
use crate::bench::clock;
use crate::bench::house::{House, Site, Told};
use crate::bench::people::{self, Census};
use crate::bench::report::Line;
use crate::bench::visitor::{Visitor, ask, handshake};

/// How many users the connections share.
const READERS: usize = 64;

/// How many of those that end by themselves are there at once.
const TOGETHER: usize = 128;

/// How long the server may take to let go of the last one, in seconds.
const PATIENCE_S: f64 = 60.0;

/// Short limits, so that those who fall silent are noticed within seconds.
const SETTINGS: &[Told] = &[
    ("limits", "authenticate_within_s", "3"),
    ("limits", "handshake_timeout_s", "3"),
    ("limits", "ping_after_s", "3"),
    ("limits", "gone_after_s", "5"),
    ("sessions", "resume_window_s", "1"),
    ("sessions", "cleanup_interval_s", "1"),
];

const MIB: f64 = 1_048_576.0;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides say good-bye.
    Polite,
    /// The client's system resets it.
    Reset,
    /// Reset while answers wait that were not read.
    Stuffed,
    /// Cut when half of a frame has come.
    MidFrame,
    /// Its token is refused.
    Refused,
    /// Cut when half of the request's head has come.
    MidHandshake,
    /// The client breaks the protocol.
    Violation,
    /// An administrator closes it.
    Operator,
    /// The client answers no ping.
    Silent,
    /// It never authenticates.
    Nobody,
    /// The other half of the request's head never comes.
    Stalled,
}

impl End {
    const ALL: [Self; 11] = [
        Self::Polite,
        Self::Reset,
        Self::Stuffed,
        Self::MidFrame,
        Self::Refused,
        Self::MidHandshake,
        Self::Violation,
        Self::Operator,
        Self::Silent,
        Self::Nobody,
        Self::Stalled,
    ];

    /// Whether the server has to wait for it.
    fn is_slow(self) -> bool {
        matches!(self, Self::Silent | Self::Nobody | Self::Stalled)
    }
}

/// What visitors need to know.
struct Crowd {
    address: SocketAddr,
    /// A token of each reader.
    readers: Vec<String>,
    operator: String,
}

/// What the server holds.
struct Held {
    rss: u64,
    files: usize,
    connections: f64,
    users: f64,
    subscriptions: f64,
    queued_bytes: f64,
}

impl Bench {
    /// Connects and ends, round after round, and looks at what stays.
    pub(super) async fn leak(&self) -> anyhow::Result<Vec<Line>> {
        ensure!(matches!(self.site, Site::Own(..)), "leak needs a server of its own: leave out --server");
        let census =
            Census { patients: 1, readers: vec![vec![0]; READERS], operator: true, ..Census::default() };
        let house = House::open_with(&self.site, &self.clock, &census, self.cores, SETTINGS).await?;
        self.cores.take_generators()?;
        let readers = (0..READERS).map(|number| house.token(&people::reader(number)));
        let crowd = Arc::new(Crowd {
            address: house.process().address(),
            readers: readers.collect::<Result<_, _>>()?,
            operator: house.token(people::OPERATOR)?,
        });
        let mut before = held(&house, &crowd).await?;
        let mut lines = Vec::new();
        for round in 1..=self.rounds {
            self.progress.now(&format!("leak: round {round}"));
            let began = clock::nanos();
            let ends = self.connects / self.rounds;
            visits(&crowd, ends).await?;
            let after = settled(&house, &crowd).await?;
            let seconds = clock::seconds(began, clock::nanos());
            lines.push(line(
                &format!("round {round}: {ends} of {} kinds", End::ALL.len()),
                seconds,
                &before,
                &after,
            ));
            before = after;
            self.progress.step();
        }
        Ok(lines)
    }
}

fn line(load: &str, seconds: f64, before: &Held, after: &Held) -> Line {
    Line {
        scenario: "leak",
        server: "healthmate".to_owned(),
        load: load.to_owned(),
        figures: vec![
            ("seconds", seconds),
            ("rss_before_mib", before.rss as f64 / MIB),
            ("rss_after_mib", after.rss as f64 / MIB),
            ("files_before", before.files as f64),
            ("files_after", after.files as f64),
            ("connections", after.connections),
            ("users", after.users),
            ("subscriptions", after.subscriptions),
            ("queued_bytes", after.queued_bytes),
        ],
    }
}

/// So many visits, each kind as often as the others. Those that the server must wait for all come at once.
async fn visits(crowd: &Arc<Crowd>, count: usize) -> anyhow::Result<()> {
    let (slow, quick): (Vec<_>, Vec<_>) = (0..count)
        .map(|number| (number, End::ALL[number % End::ALL.len()]))
        .partition(|(_, end)| end.is_slow());
    let mut waiting = JoinSet::new();
    for (number, end) in slow {
        waiting.spawn(visit(Arc::clone(crowd), number, end));
        // Slowly enough that the listener's queue holds them.
        if number % TOGETHER == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut passing = JoinSet::new();
    for (number, end) in quick {
        if passing.len() >= TOGETHER
            && let Some(ended) = passing.join_next().await
        {
            ended??;
        }
        passing.spawn(visit(Arc::clone(crowd), number, end));
    }
    for ended in [passing.join_all().await, waiting.join_all().await].into_iter().flatten() {
        ended?;
    }
    Ok(())
}

/// Connects, and ends as told.
async fn visit(crowd: Arc<Crowd>, number: usize, end: End) -> anyhow::Result<()> {
    let ended = visit_as_told(&crowd, number, end).await;
    ended.with_context(|| format!("a connection that was to end like {end:?}"))
}

async fn visit_as_told(crowd: &Crowd, number: usize, end: End) -> anyhow::Result<()> {
    match end {
        End::MidHandshake | End::Stalled => stop_in_the_head(crowd, end).await,
        End::Nobody | End::Refused => stay_unknown(crowd, end).await,
        _ => {
            let (mut visitor, connection) = subscribed(crowd, number).await?;
            end_subscribed(crowd, &mut visitor, &connection, end).await
        }
    }
}

/// Sends half of the request's head.
async fn stop_in_the_head(crowd: &Crowd, end: End) -> anyhow::Result<()> {
    let mut visitor = Visitor::knock(crowd.address).await?;
    visitor.write(&handshake(crowd.address).as_bytes()[..60]).await?;
    if end == End::Stalled {
        visitor.rest().await?;
    }
    Ok(())
}

/// Shows no token, or one that nobody issued.
async fn stay_unknown(crowd: &Crowd, end: End) -> anyhow::Result<()> {
    let mut visitor = Visitor::enter(crowd.address).await?;
    visitor.hear_of("connection_established").await?;
    if end == End::Nobody {
        return closes_with(&mut visitor, 4501).await;
    }
    visitor.say(r#"{"type":"authenticate","token":"nonsense"}"#).await?;
    closes_with(&mut visitor, 4500).await
}

/// A reader who has subscribed, and the id of the connection.
async fn subscribed(crowd: &Crowd, number: usize) -> anyhow::Result<(Visitor, String)> {
    let mut visitor = Visitor::enter(crowd.address).await?;
    let established: Value = serde_json::from_str(&visitor.hear_of("connection_established").await?)?;
    let connection = established["data"]["connection_id"].as_str().context("no connection_id")?.to_owned();
    let token = &crowd.readers[number % READERS];
    visitor.say(&json!({ "type": "authenticate", "token": token }).to_string()).await?;
    let topic = format!("health:{}", people::patient(0));
    visitor.say(&json!({ "type": "subscribe", "topic": topic }).to_string()).await?;
    visitor.hear_of("subscription_success").await?;
    Ok((visitor, connection))
}

async fn end_subscribed(
    crowd: &Crowd,
    visitor: &mut Visitor,
    connection: &str,
    end: End,
) -> anyhow::Result<()> {
    match end {
        End::Polite => {
            // A close frame with code 1000, masked with nothing.
            visitor.write(b"\x88\x82\0\0\0\0\x03\xe8").await?;
            closes_with(visitor, 1000).await
        }
        End::Stuffed => visitor.write(&b"\x81\x8f\0\0\0\0{\"type\":\"ping\"}".repeat(500)).await,
        End::MidFrame => {
            visitor.write(b"\x81\xe4\0\0\0\0{\"typ").await?;
            visitor.leave().await
        }
        End::Violation => {
            visitor.write(b"\x81\x02{}").await?;
            closes_with(visitor, 1002).await
        }
        End::Operator => {
            let path = format!("/ws/connection/{connection}");
            let (status, body) = ask(crowd.address, &crowd.operator, "DELETE", &path).await?;
            ensure!(status == 204, "the server answered {status} {body}");
            closes_with(visitor, 4504).await
        }
        End::Silent => closes_with(visitor, 4002).await,
        _ => Ok(()),
    }
}

async fn closes_with(visitor: &mut Visitor, code: u16) -> anyhow::Result<()> {
    let found = visitor.close_code().await?;
    ensure!(found == Some(code), "the server closed with {found:?} and not with {code}");
    Ok(())
}

/// What the server holds once it has let go of every connection.
async fn settled(house: &House, crowd: &Crowd) -> anyhow::Result<Held> {
    let began = clock::nanos();
    loop {
        let held = held(house, crowd).await?;
        if held.connections == 0.0 {
            return Ok(held);
        }
        let waited = clock::seconds(began, clock::nanos());
        if waited > PATIENCE_S {
            bail!("the server still holds {} connections after {waited:.0} s", held.connections);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn held(house: &House, crowd: &Crowd) -> anyhow::Result<Held> {
    let (code, body) = ask(crowd.address, &crowd.operator, "GET", "/ws/status").await?;
    ensure!(code == 200, "the server answered {code} {body}");
    let status: Value = serde_json::from_str(&body)?;
    let sum = |counts: &Value| {
        let counts = counts.as_object().into_iter().flatten();
        counts.filter_map(|(_, count)| count.as_u64()).sum::<u64>() as f64
    };
    let number = |name: &str| status[name].as_f64().unwrap_or_default();
    Ok(Held {
        rss: house.process().usage().rss,
        files: house.process().open_files()?,
        // The one that asks is in its handshake.
        connections: sum(&status["connections"]) - 1.0,
        users: number("users_online"),
        subscriptions: sum(&status["subscriptions"]),
        queued_bytes: number("queued_bytes"),
    })
}
