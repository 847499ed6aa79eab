use std::sync::Arc;

use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::EventKind;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn topic(name: usize) -> Topic {
    Topic::health(UserId::new(&format!("p{name}")).expect("valid"))
}

fn event(name: usize, offset: u64) -> Event {
    Event {
        topic: topic(name),
        offset: Offset(offset),
        kind: EventKind::HealthUpdate,
        series: None,
        recorded_at: Timestamp::from_micros(0),
        payload: Arc::from(RawValue::from_string("{}".to_owned()).expect("JSON")),
    }
}

/// A topic's log, and who has heard how much of it.
#[derive(Clone, Debug)]
struct Log {
    oldest: u64,
    head: u64,
    /// What the listener was called with.
    told: u64,
    /// The oldest when ranges were forgotten last.
    oldest_forgotten: u64,
}

/// Somebody who opens a topic: the question is asked, then answered by the store, then taken in.
#[derive(Clone, Copy, Debug)]
struct Reading {
    name: usize,
    ticket: u64,
    read: Option<LogRange>,
}

#[derive(Clone, Debug)]
enum Step {
    Commit {
        name: usize,
        count: u64,
    },
    /// The listener hears of everything committed, of all topics.
    Tell,
    Ask {
        name: usize,
    },
    Read {
        which: usize,
    },
    Learn {
        which: usize,
    },
    Trim {
        name: usize,
    },
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..5, 1u64..4).prop_map(|(name, count)| Step::Commit { name, count }),
        4 => Just(Step::Tell),
        5 => (0usize..5).prop_map(|name| Step::Ask { name }),
        4 => (0usize..8).prop_map(|which| Step::Read { which }),
        4 => (0usize..8).prop_map(|which| Step::Learn { which }),
        1 => (0usize..5).prop_map(|name| Step::Trim { name }),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// However commits, their tidings, readings and trims overlap: what is known reaches at least as far as the
    /// shards were told, and no further than the log; and its beginning is not older than when ranges were forgotten last.
    #[test]
    fn what_is_known_is_never_behind(steps in steps(), half in 1usize..4) {
        let heads = Heads::keeping(half);
        let new = Log { oldest: 1, head: 0, told: 0, oldest_forgotten: 1 };
        let (mut logs, mut readings) = (vec![new; 5], Vec::<Reading>::new());
        for step in steps {
            match step {
                Step::Commit { name, count } => logs[name].head += count,
                Step::Tell => {
                    let events = logs.iter().enumerate();
                    let events = events.flat_map(|(name, log)| (log.told + 1..=log.head).map(move |n| event(name, n)));
                    heads.committed(&events.collect::<Vec<_>>());
                    for log in &mut logs {
                        log.told = log.head;
                    }
                }
                Step::Ask { name } => {
                    readings.push(Reading { name, ticket: heads.expect(&topic(name)), read: None });
                }
                Step::Read { which } => {
                    let count = readings.len().max(1);
                    if let Some(reading) = readings.get_mut(which % count) {
                        let Log { oldest, head, .. } = logs[reading.name];
                        reading.read = Some(LogRange { oldest: Offset(oldest), head: Offset(head) });
                    }
                }
                Step::Learn { which } if !readings.is_empty() => {
                    let Reading { name, ticket, read } = readings.remove(which % readings.len());
                    if let Some(read) = read {
                        heads.learn(&topic(name), ticket, read);
                    }
                }
                Step::Learn { .. } => {}
                Step::Trim { name } => logs[name].oldest = logs[name].head + 1,
                Step::Forget => {
                    heads.forget();
                    for log in &mut logs {
                        log.oldest_forgotten = log.oldest;
                    }
                }
            }
            for (name, log) in logs.iter().enumerate() {
                // Looked at without being used, so that the steps alone say what is forgotten.
                let known = heads.0.lock().known.peek(&topic(name)).and_then(|known| known.range());
                if let Some(LogRange { oldest, head }) = known {
                    prop_assert!(head.0 >= log.told, "{name}: {head} is behind {log:?}");
                    prop_assert!(head.0 <= log.head, "{name}: {head} is ahead of {log:?}");
                    prop_assert!((log.oldest_forgotten..=log.oldest).contains(&oldest.0), "{name}: {oldest}, {log:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_topic_is_read_once() {
    let clock: Arc<dyn healthmate_care::Clock> =
        Arc::new(healthmate_care::ManualClock::new(Timestamp::from_micros(0)));
    let store = healthmate_storage::MemoryStore::new(clock);
    let heads = Heads::new();
    let start = Offset::START;
    assert_eq!(heads.get(&topic(0), start), None);
    let none = LogRange { oldest: Offset(1), head: Offset(0) };
    assert_eq!(heads.read(&store, &topic(0), start).await, Ok(none));
    heads.committed(&[event(0, 1), event(1, 1), event(0, 2)]);
    // The store has no such events: this is what was told.
    let two = LogRange { head: Offset(2), ..none };
    assert_eq!(heads.read(&store, &topic(0), Offset(2)).await, Ok(two));
    assert_eq!(heads.get(&topic(0), Offset(3)), None, "not known to reach that far");
    assert_eq!(heads.read(&store, &topic(0), Offset(3)).await, Ok(two), "and it does not");
    assert_eq!(heads.get(&topic(1), start), None, "never asked for");
    heads.forget();
    assert_eq!(heads.get(&topic(0), start), None);
}
