//! What holds whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use healthmate_protocol::server::PresenceResponse;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Answer { which: usize, well: bool },
    Stray(u32),
    Tick(u64),
    Disconnect,
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..13).prop_map(Step::Send),
        6 => (0usize..8, prop::bool::weighted(0.9)).prop_map(|(which, well)| Step::Answer { which, well }),
        1 => (1000u32..2000).prop_map(Step::Stray),
        1 => (0u64..40).prop_map(Step::Tick),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Lose),
    ];
    prop::collection::vec(step, 1..80)
}

fn command(kind: usize, correlation: u32) -> String {
    let rest = match kind {
        0 => r#""type":"ping""#.to_owned(),
        1 => r#""type":"authenticate","token":"t""#.to_owned(),
        2 => r#""type":"subscribe","topic":"health_updates""#.to_owned(),
        3 => r#""type":"subscribe","topic":"health:ben","since":{"epoch":"e1","offset":2}"#.to_owned(),
        4 => r#""type":"unsubscribe","topic":"health_updates""#.to_owned(),
        5 => format!(r#""type":"health_update","data":{MEASURED}"#),
        6 => r#""type":"get_health_data""#.to_owned(),
        7 => r#""type":"subscribe","topic":"chat""#.to_owned(),
        8 => r#""type":"subscribe","topic":"health:ben","acknowledge":true"#.to_owned(),
        9 => {
            r#""type":"subscribe","topic":"health:eva","delivery":"latest","include":["presence"]"#.to_owned()
        }
        10 => r#""type":"get_presence","topic":"health:ben""#.to_owned(),
        11 => r#""type":"subscribe","topic":"health:ben","delivery":"latest","acknowledge":true"#.to_owned(),
        _ => r#""type":"boom""#.to_owned(),
    };
    format!(r#"{{{rest},"correlation_id":"{correlation}"}}"#)
}

fn answer(action: &Action, well: bool) -> Input<'static> {
    let refused = || Refused::new(ErrorCode::AccessDenied, "no");
    match action {
        Action::Authenticate { request, .. } => {
            Input::Identified(*request, if well { Ok(user("ana", Role::Patient)) } else { Err(refused()) })
        }
        Action::OpenTopic(id, ..) => {
            Input::TopicOpened(*id, if well { Ok(log(1, 5)) } else { Err(refused()) })
        }
        Action::Record { request, .. } => {
            Input::Recorded(*request, if well { Ok(Vec::new()) } else { Err(refused()) })
        }
        Action::LoadHistory(id, _) => {
            let page = Found { measurements: Vec::new(), next_cursor: None };
            Input::HistoryLoaded(*id, if well { Ok(page) } else { Err(refused()) })
        }
        Action::LoadPresence(id, topic) => {
            let present = PresenceResponse { topic: topic.clone(), present: Vec::new() };
            Input::PresenceLoaded(*id, if well { Ok(present) } else { Err(refused()) })
        }
        other => panic!("no request: {other:?}"),
    }
}

/// A session under random inputs, and what it owes.
struct Trial {
    bench: Bench,
    /// Requests that the server has not answered yet.
    waiting: Vec<Action>,
    /// How many replies each request got, by what the client calls it.
    asked: BTreeMap<String, usize>,
    /// What was ever delivered.
    subscribed: BTreeSet<Topic>,
    over: bool,
}

impl Trial {
    fn new() -> Self {
        let bench = Bench::new(Options::default());
        Self { bench, waiting: Vec::new(), asked: BTreeMap::new(), subscribed: BTreeSet::new(), over: false }
    }

    /// Gives the session an input and holds what it does against the laws.
    fn input(&mut self, time: u64, input: Input<'_>) -> Result<(), TestCaseError> {
        let ends = matches!(input, Input::Disconnected | Input::Lost(_));
        self.bench.input(at(time), input);
        for action in std::mem::take(&mut self.bench.actions) {
            prop_assert!(!self.over, "after the end: {action:?}");
            match action {
                Action::Send(envelope) => {
                    if let Some(id) = envelope.correlation_id {
                        let replies = self.asked.get_mut(id.as_str());
                        *replies.expect("a reply nobody asked for") += 1;
                    }
                }
                Action::Close(..) => self.over = true,
                Action::StartDelivery { topic, .. } => {
                    prop_assert!(self.bench.session.topics().any(|held| *held == topic));
                    self.subscribed.insert(topic);
                }
                Action::Keep(lost) => {
                    prop_assert_eq!(self.bench.session.state(), State::Error);
                    prop_assert!(lost.topics.iter().all(|topic| self.subscribed.contains(&topic.topic)));
                }
                Action::ReviewDelivery(topic) => {
                    // As far as the log of this trial reaches, and sometimes not out of the server yet.
                    let position = (!time.is_multiple_of(3)).then_some(Offset(5));
                    self.input(time, Input::DeliveryReviewed { topic, position, chance: 0.5 })?;
                }
                Action::Redeliver { topic, after } => {
                    prop_assert!(after < Offset(5));
                    prop_assert!(self.bench.session.topics().any(|held| *held == topic));
                }
                Action::StopDelivery(_)
                | Action::RevokeDelivery(_)
                | Action::DeliveryFailed { .. }
                | Action::SendHeartbeat
                | Action::SendPing => {}
                request => self.waiting.push(request),
            }
        }
        self.over |= ends;
        Ok(())
    }

    fn answer(&mut self, time: u64, which: usize, well: bool) -> Result<(), TestCaseError> {
        let request = self.waiting.remove(which % self.waiting.len());
        self.input(time, answer(&request, well))
    }
}

proptest! {
    /// The laws of the whole machine, whatever happens in whatever order: every request gets exactly one reply
    /// (none is lost, none is doubled, none comes unasked), delivery starts only for held topics, and nothing
    /// follows a close.
    #[test]
    fn one_reply_for_each_request_and_nothing_after_the_end(steps in steps()) {
        let mut trial = Trial::new();
        let mut time = 0;
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send(kind) => {
                    trial.asked.insert(index.to_string(), 0);
                    trial.input(time, Input::Text(&command(kind, index as u32)))?;
                }
                Step::Answer { .. } if trial.waiting.is_empty() => {}
                Step::Answer { which, well } => trial.answer(time, which, well)?,
                Step::Stray(id) => trial.input(time, Input::Recorded(RequestId(id), Ok(Vec::new())))?,
                Step::Tick(seconds) => {
                    time += seconds;
                    trial.input(time, Input::Tick)?;
                }
                Step::Lose => trial.input(time, Input::Lost(Fault::TransportFailed))?,
                Step::Disconnect => trial.input(time, Input::Disconnected)?,
            }
        }
        prop_assert!(trial.asked.values().all(|replies| *replies <= 1));
        // Answer all that still waits: then every request has its one reply.
        while !trial.over && !trial.waiting.is_empty() {
            trial.answer(time, 0, true)?;
        }
        prop_assert!(trial.over || trial.asked.values().all(|replies| *replies == 1), "{:?}", trial.asked);
    }
}
