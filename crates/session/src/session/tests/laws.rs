//! What holds whatever happens, in whatever order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Answer { which: usize, well: bool },
    Stray(u32),
    Tick(u64),
    Disconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..9).prop_map(Step::Send),
        6 => (0usize..8, prop::bool::weighted(0.9)).prop_map(|(which, well)| Step::Answer { which, well }),
        1 => (1000u32..2000).prop_map(Step::Stray),
        1 => (0u64..40).prop_map(Step::Tick),
        1 => Just(Step::Disconnect),
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
        _ => r#""type":"boom""#.to_owned(),
    };
    format!(r#"{{{rest},"correlation_id":"{correlation}"}}"#)
}

fn answer(action: &Action, well: bool) -> Input<'static> {
    let refused = || Refused::new(ErrorCode::AccessDenied, "no");
    match action {
        Action::Authenticate(id, _) => {
            Input::Identified(*id, if well { Ok(user("ana", Role::Patient)) } else { Err(refused()) })
        }
        Action::OpenTopic(id, _) => {
            Input::TopicOpened(*id, if well { Ok(log(1, 5)) } else { Err(refused()) })
        }
        Action::Record { request, .. } => {
            Input::Recorded(*request, if well { Ok(Vec::new()) } else { Err(refused()) })
        }
        Action::LoadHistory(id, _) => {
            let page = Found { measurements: Vec::new(), next_cursor: None };
            Input::HistoryLoaded(*id, if well { Ok(page) } else { Err(refused()) })
        }
        other => panic!("no request: {other:?}"),
    }
}

proptest! {
    /// The laws of the whole machine, whatever happens in whatever order: every request gets exactly one reply
    /// (none is lost, none is doubled, none comes unasked), delivery starts and stops only for held topics, and
    /// nothing follows a close.
    #[test]
    fn one_reply_for_each_request_and_nothing_after_the_end(steps in steps()) {
        let mut bench = Bench::new(Options::default());
        let mut waiting: Vec<Action> = Vec::new();
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        let mut over = false;
        let mut time = 0;
        for (index, step) in steps.into_iter().enumerate() {
            let text;
            let input = match step {
                Step::Send(kind) => {
                    text = command(kind, index as u32);
                    asked.insert(index.to_string(), 0);
                    Input::Text(&text)
                }
                Step::Answer { .. } if waiting.is_empty() => continue,
                Step::Answer { which, well } => {
                    let request = waiting.remove(which % waiting.len());
                    answer(&request, well)
                }
                Step::Stray(id) => Input::Recorded(RequestId(id), Ok(Vec::new())),
                Step::Tick(seconds) => { time += seconds; Input::Tick }
                Step::Disconnect => Input::Disconnected,
            };
            let disconnects = matches!(input, Input::Disconnected);
            bench.input(at(time), input);
            prop_assert!(!over || bench.actions.is_empty(), "after the end: {:?}", bench.actions);
            for action in bench.actions.drain(..) {
                prop_assert!(!over, "after a close: {action:?}");
                match action {
                    Action::Send(envelope) => {
                        if let Some(id) = envelope.correlation_id {
                            *asked.get_mut(id.as_str()).expect("a reply nobody asked for") += 1;
                        }
                    }
                    Action::Close(..) => over = true,
                    Action::StartDelivery { topic, .. } => {
                        prop_assert!(bench.session.topics().any(|held| *held == topic));
                    }
                    Action::StopDelivery(_) | Action::SendHeartbeat | Action::SendPing => {}
                    request => waiting.push(request),
                }
            }
            over |= disconnects;
        }
        prop_assert!(asked.values().all(|replies| *replies <= 1));
        // Answer all that still waits: then every request has its one reply.
        while !over && !waiting.is_empty() {
            let request = waiting.remove(0);
            bench.input(at(time), answer(&request, true));
            for action in bench.actions.drain(..) {
                match action {
                    Action::Send(envelope) => {
                        if let Some(id) = envelope.correlation_id {
                            *asked.get_mut(id.as_str()).expect("a reply nobody asked for") += 1;
                        }
                    }
                    Action::StartDelivery { .. } | Action::StopDelivery(_) | Action::SendHeartbeat | Action::SendPing => {}
                    Action::Close(..) => over = true,
                    request => waiting.push(request),
                }
            }
        }
        prop_assert!(over || asked.values().all(|replies| *replies == 1), "{asked:?}");
    }
}
