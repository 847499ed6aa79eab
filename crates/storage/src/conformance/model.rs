//! A store beside a small model of it, over random histories.
//!
//! The model keeps what was acknowledged and told. Watchers start from a snapshot of the history and read on from
//! the log, as clients do, whatever was trimmed and however often the store was reopened meanwhile: what a
//! watcher holds in the end is what a newcomer reads (stale state + events = fresh state).

use std::collections::BTreeMap;

use healthmate_care::{Clock, Measurement};
use healthmate_protocol::{ClientId, MAX_PAGE, MeasurementData, Offset};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::sample::{beat, everything_of, health, people, recording};
use super::{Failed, Harness, Outcome};
use crate::{LogRange, MeasurementQuery};

const PATIENTS: [&str; 2] = ["p", "q"];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Record a batch: for each measurement the name, if it has one, and when it was taken.
    Record {
        patient: usize,
        batch: Vec<(Option<u8>, i64)>,
    },
    Advance {
        millis: i64,
    },
    Trim {
        age_millis: i64,
        limit: u32,
    },
    /// The patient's watcher reads on, in pages of this size.
    CatchUp {
        patient: usize,
        page: u32,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = prop::collection::vec((prop::option::weighted(0.5, 0..12_u8), -5..5_i64), 1..6);
    let step = prop_oneof![
        6 => (0..2_usize, batch).prop_map(|(patient, batch)| Step::Record { patient, batch }),
        2 => (1..2000_i64).prop_map(|millis| Step::Advance { millis }),
        2 => (0..3000_i64, 0..8_u32).prop_map(|(age_millis, limit)| Step::Trim { age_millis, limit }),
        3 => (0..2_usize, 1..5_u32).prop_map(|(patient, page)| Step::CatchUp { patient, page }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// A patient's state: every measurement by its offset, as the wire's JSON.
type State = BTreeMap<u64, String>;

/// What must be true of one patient's topic.
#[derive(Default)]
struct Model {
    state: State,
    stored_at: Vec<i64>,
    /// The first offset the log still has.
    oldest: u64,
    names: BTreeMap<u8, u64>,
    watcher: State,
    watched: u64,
}

/// Runs `cases` random histories on the stores that `open` opens.
///
/// # Errors
/// With the smallest history found that a store and the model disagree on.
pub fn run(cases: u32, open: impl Fn() -> Result<Harness, Failed>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&steps(), |steps| {
        let history = async {
            let mut harness = open()?;
            people(&harness).await?;
            let mut models: [Model; 2] = std::array::from_fn(|_| Model { oldest: 1, ..Model::default() });
            for step in steps {
                take(&mut harness, &mut models, step).await?;
            }
            for (patient, model) in PATIENTS.into_iter().zip(&mut models) {
                catch_up(&harness, patient, model, 3).await?;
                agree(&harness, patient, model).await?;
            }
            Ok::<_, Failed>(())
        };
        runtime.block_on(history).map_err(|failed| TestCaseError::fail(failed.to_string()))
    })?;
    Ok(())
}

async fn take(harness: &mut Harness, models: &mut [Model; 2], step: Step) -> Outcome {
    match step {
        Step::Record { patient, batch } => {
            record(harness, PATIENTS[patient], &mut models[patient], &batch).await
        }
        Step::Trim { age_millis, limit } => trim(harness, models, age_millis, limit).await,
        Step::CatchUp { patient, page } => {
            catch_up(harness, PATIENTS[patient], &mut models[patient], page).await
        }
        Step::Reopen => harness.reopen(),
        Step::Advance { millis } => {
            harness.clock.advance_millis(millis);
            Ok(())
        }
    }
}

async fn record(harness: &Harness, patient: &str, model: &mut Model, batch: &[(Option<u8>, i64)]) -> Outcome {
    let mut measurements = Vec::new();
    for (name, second) in batch {
        let client_id = name.map(|name| ClientId::new(&name.to_string())).transpose()?;
        let value = (model.state.len() + measurements.len()) as f64;
        measurements.push(Measurement { client_id, ..beat(harness, *second, value) });
    }
    let recording = recording(patient, patient, measurements.clone())?;
    let (id, now) = (recording.patient.clone(), harness.clock.now());
    let receipts = harness.store()?.record(recording).await?;
    assert_eq!(receipts.len(), batch.len());
    for (((name, _), measurement), receipt) in batch.iter().zip(measurements).zip(receipts) {
        let next = model.state.len() as u64 + 1;
        let first = name.and_then(|name| model.names.get(&name).copied());
        assert_eq!((receipt.offset.0, receipt.duplicate), (first.unwrap_or(next), first.is_some()));
        if first.is_none() {
            model.state.insert(next, serde_json::to_string(&measurement.to_data(&id, &id, now))?);
            model.stored_at.push(now.as_micros());
            model.names.extend(name.map(|name| (name, next)));
        }
    }
    Ok(())
}

/// Which topic loses how many is the store's choice, within what the limit and the age allow.
async fn trim(harness: &Harness, models: &mut [Model; 2], age_millis: i64, limit: u32) -> Outcome {
    let before = harness.clock.now().plus_millis(-age_millis);
    let forgotten = harness.store()?.trim(before, limit).await?;
    let (mut old, mut gone) = (0, 0);
    for (patient, model) in PATIENTS.into_iter().zip(models) {
        let kept = model.stored_at.iter().skip(usize::try_from(model.oldest - 1)?);
        let old_here = kept.take_while(|stored_at| **stored_at < before.as_micros()).count() as u64;
        let LogRange { oldest, .. } = harness.store()?.range(&health(patient)?).await?;
        assert!((model.oldest..=model.oldest + old_here).contains(&oldest.0), "only what is old may go");
        gone += oldest.0 - model.oldest;
        old += old_here;
        model.oldest = oldest.0;
    }
    assert_eq!((forgotten, gone), (old.min(u64::from(limit)), forgotten));
    Ok(())
}

/// What a client does: read on from its offset; where the log no longer reaches back, start from the history.
async fn catch_up(harness: &Harness, patient: &str, model: &mut Model, page: u32) -> Outcome {
    let topic = health(patient)?;
    let LogRange { oldest, head } = harness.store()?.range(&topic).await?;
    if oldest.0 > model.watched + 1 {
        model.watcher = history(harness, patient, page).await?;
        model.watched = head.0;
    }
    loop {
        let events = harness.store()?.read_after(&topic, Offset(model.watched), page).await?;
        for event in &events {
            assert_eq!(event.offset.0, model.watched + 1, "no hole, no repeat");
            model.watched = event.offset.0;
            model.watcher.insert(event.offset.0, event.payload.get().to_owned());
        }
        if events.len() < page as usize {
            return Ok(());
        }
    }
}

async fn history(harness: &Harness, patient: &str, limit: u32) -> Result<State, Failed> {
    let mut state = State::new();
    let mut after = None;
    loop {
        let query = MeasurementQuery { limit, after, ..everything_of(patient)? };
        let page = harness.store()?.measurements(query).await?;
        for measurement in page.measurements {
            let data: &MeasurementData = &measurement.data;
            let repeated = state.insert(measurement.offset.0, serde_json::to_string(data)?);
            assert!(repeated.is_none(), "a measurement is on one page only");
        }
        after = page.next;
        if after.is_none() {
            return Ok(state);
        }
    }
}

async fn agree(harness: &Harness, patient: &str, model: &Model) -> Outcome {
    let range = harness.store()?.range(&health(patient)?).await?;
    assert_eq!((range.oldest.0, range.head.0), (model.oldest, model.state.len() as u64));
    let fresh = history(harness, patient, MAX_PAGE).await?;
    assert!(fresh == model.state, "the history is not what was acknowledged");
    assert!(model.watcher == fresh, "stale state + events is not fresh state");
    Ok(())
}
