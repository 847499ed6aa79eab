//! Who is under load, and how they are spoken to: HealthMate, or a peer that speaks the dialect of the comparison.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::ensure;
use clap::ValueEnum;
use healthmate_protocol::Timestamp;

use super::door::Guest;
use super::house::House;
use super::people;
use super::process::{Cores, Process};

/// The peer that all others are compared with.
pub(crate) const FLOOR: &str = "floor";

/// A peer to measure beside HealthMate: `NAME=COMMAND`. The command starts a server on a free port that prints
/// `://ADDRESS` and knows three paths: `/sub/A,B` hears topics, whatever `/pub/A` sends goes to a topic, `/echo`
/// gets back what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// What the report calls it.
    pub(crate) name: String,
    words: Vec<String>,
}

impl std::str::FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("write NAME=COMMAND")?;
        let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || words.is_empty() {
            return Err("write NAME=COMMAND".to_owned());
        }
        Ok(Self { name: name.to_owned(), words })
    }
}

impl Peer {
    /// Starts its process.
    pub(crate) fn start(&self, cores: Cores, class: Class) -> anyhow::Result<Target> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        Ok(Target { name: self.name.clone(), kind: Kind::Peer(Process::start(command, cores)?), class })
    }
}

/// Which events HealthMate is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Class {
    /// Chunks of waveforms: passed on to those who asked for them, and not stored
    Ephemeral,
    /// Measurements: committed to disk, then published
    Durable,
}

impl Class {
    /// What the report calls HealthMate with them.
    fn name(self) -> &'static str {
        match self {
            Self::Ephemeral => "healthmate",
            Self::Durable => "healthmate durable",
        }
    }
}

/// A server under load.
pub(crate) struct Target {
    /// What the report calls it.
    pub(crate) name: String,
    kind: Kind,
    class: Class,
}

enum Kind {
    House(Box<House>),
    Peer(Process),
}

impl Target {
    /// HealthMate, measured with events of this class.
    pub(crate) fn house(house: House, class: Class) -> Self {
        Self { name: class.name().to_owned(), kind: Kind::House(Box::new(house)), class }
    }

    pub(crate) fn process(&self) -> &Process {
        match &self.kind {
            Kind::House(house) => house.process(),
            Kind::Peer(process) => process,
        }
    }

    /// A reader of the topics of these patients.
    pub(crate) fn reader(&self, number: usize, patients: &[usize]) -> anyhow::Result<Guest> {
        let topics: Vec<_> = patients.iter().map(|patient| topic(*patient)).collect();
        Ok(match &self.kind {
            Kind::House(house) => Guest::of_health(
                &house.token(&people::reader(number))?,
                &topics,
                self.class == Class::Ephemeral,
            ),
            Kind::Peer(_) => Guest::of_peer(format!("/sub/{}", topics.join(","))),
        })
    }

    /// Who publishes what the device of this number measures; the number is its patient's too.
    pub(crate) fn publisher(&self, number: usize) -> anyhow::Result<Guest> {
        Ok(match &self.kind {
            Kind::House(house) => Guest::of_health(&house.token(&people::device(number))?, &[], false),
            Kind::Peer(_) => Guest::of_peer(format!("/pub/{}", topic(number))),
        })
    }

    /// Who sends [`Self::ping`] and gets an answer.
    pub(crate) fn pinger(&self, number: usize) -> anyhow::Result<Guest> {
        Ok(match &self.kind {
            Kind::House(_) => self.reader(number, &[])?,
            Kind::Peer(_) => Guest::of_peer("/echo".to_owned()),
        })
    }

    /// What is answered at once.
    pub(crate) const PING: &str = r#"{"type":"ping"}"#;

    /// How this server is told of something new.
    pub(crate) fn speech(&self) -> Speech {
        match (&self.kind, self.class) {
            (Kind::House(_), Class::Durable) => Speech::Update,
            (Kind::House(_), Class::Ephemeral) => Speech::Chunk,
            (Kind::Peer(_), Class::Durable) => Speech::UpdateEvent,
            (Kind::Peer(_), Class::Ephemeral) => Speech::ChunkEvent,
        }
    }
}

fn topic(patient: usize) -> String {
    format!("health:{}", people::patient(patient))
}

/// What a publisher says, and what readers hear of it. To add a kind of message: a variant here, and what
/// [`Target::speech`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A device's `health_update`: stored, then published as an event by HealthMate.
    Update,
    /// A device's `health_waveform` with one small chunk: passed on by HealthMate, and not stored.
    Chunk,
    /// The event of an [`Self::Update`], in as many bytes, ready to be passed on by a peer.
    UpdateEvent,
    /// The event of a [`Self::Chunk`], likewise.
    ChunkEvent,
}

impl Speech {
    /// What every message that readers hear of it begins with.
    pub(crate) fn heard(self) -> &'static [u8] {
        match self {
            Self::Update | Self::UpdateEvent => br#"{"type":"health_update""#,
            Self::Chunk | Self::ChunkEvent => br#"{"type":"health_waveform""#,
        }
    }

    /// What stands before a message's number among those of its topic; numbers have no holes.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Update | Self::UpdateEvent => r#""offset":"#,
            Self::Chunk | Self::ChunkEvent => r#""sequence":"#,
        }
    }

    /// The number before the first, if the topic's log ends at `head`.
    pub(crate) fn begins_after(self, head: u64) -> u64 {
        match self {
            Self::Update => head,
            Self::Chunk | Self::UpdateEvent | Self::ChunkEvent => 0,
        }
    }

    /// Writes the message that becomes number `number` of the patient's topic.
    pub(crate) fn write(self, patient: usize, number: u64, now: Timestamp, text: &mut String) {
        let (topic, patient, device) = (topic(patient), people::patient(patient), people::device(patient));
        let chunk = r#""waveform":"ecg_lead_ii","unit":"mV","started_at":"#;
        let samples = r#""sample_rate_hz":250.0,"samples":[0.02,0.11,1.05]"#;
        let measured = r#""metric":"heart_rate","value":72.0,"unit":"/min","taken_at":"#;
        // A String takes everything.
        let _ = match self {
            Self::Update => write!(text, r#"{{"type":"health_update","data":{{{measured}"{now}"}}}}"#),
            Self::Chunk => write!(
                text,
                r#"{{"type":"health_waveform","data":{{{chunk}"{now}",{samples},"sequence":{number}}}}}"#
            ),
            Self::ChunkEvent => write!(
                text,
                r#"{{"type":"health_waveform","timestamp":"{now}","topic":"{topic}","data":{{"patient":"{patient}",{chunk}"{now}",{samples},"author":"{device}","sequence":{number}}}}}"#
            ),
            Self::UpdateEvent => write!(
                text,
                r#"{{"type":"health_update","timestamp":"{now}","topic":"{topic}","offset":{number},"data":{{"patient":"{patient}",{measured}"{now}","recorded_at":"{now}","author":"{device}"}}}}"#
            ),
        };
    }
}

/// Starts the peers beside HealthMate.
pub(crate) fn with_peers(
    mut targets: Vec<Target>,
    peers: &[Peer],
    cores: Cores,
) -> anyhow::Result<Vec<Target>> {
    // They pass on what the first of them publishes.
    let class = targets.first().map_or(Class::Durable, |target| target.class);
    for peer in peers {
        ensure!(targets.iter().all(|target| target.name != peer.name), "{} is there twice", peer.name);
        targets.push(peer.start(cores, class)?);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::{ClientMessage, Envelope};

    use super::*;

    #[test]
    fn what_is_said_is_what_the_protocol_takes() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        for (said, heard, name) in [
            (Speech::Update, Speech::UpdateEvent, "health_update"),
            (Speech::Chunk, Speech::ChunkEvent, "health_waveform"),
        ] {
            let (mut message, mut event) = (String::new(), String::new());
            said.write(0, 7, now, &mut message);
            heard.write(0, 7, now, &mut event);
            assert_eq!(ClientMessage::parse(&message).expect("valid").command.name(), name);
            let envelope = Envelope::parse(&event).expect("valid");
            assert_eq!(envelope.to_text(), event, "an event as HealthMate writes it");
            assert!(event.as_bytes().starts_with(heard.heard()) && said.heard() == heard.heard());
            assert!(event.contains(&format!("{}7", heard.number())));
        }
    }

    #[test]
    fn a_peer_is_a_name_and_a_command() {
        let peer: Peer = "bun=bun run server.js".parse().expect("valid");
        assert_eq!((peer.name.as_str(), peer.words.len()), ("bun", 3));
        for wrong in ["bun", "=bun", "bun= "] {
            assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
        }
    }
}
