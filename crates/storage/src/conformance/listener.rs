//! `set_commit_listener`: who hears of commits, and in which order.

use std::sync::Arc;

use healthmate_care::{Clock, Metric};
use healthmate_protocol::Offset;

use super::sample::{beat, beats, health, named, people, recording, teller};
use super::{Failed, Harness, Outcome};
use crate::{Event, Series};

/// All that was told before this call has been heard: a write comes after it.
async fn heard(
    harness: &Harness,
    heard: &std::sync::mpsc::Receiver<Event>,
) -> Result<Vec<(String, u64)>, Failed> {
    harness.store()?.check_writable().await?;
    Ok(heard.try_iter().map(|event| (event.topic.to_string(), event.offset.0)).collect())
}

fn of(topic: &str, offsets: std::ops::RangeInclusive<u64>) -> Vec<(String, u64)> {
    offsets.map(|offset| (topic.to_owned(), offset)).collect()
}

/// Each event of a commit is told once, as the log has it.
pub async fn hears_each_event_once_in_order(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (listener, events) = teller();
    harness.store()?.set_commit_listener(listener);
    beats(&harness, "p", 3).await?;
    assert_eq!(heard(&harness, &events).await?, of("health:p", 1..=3));
    beats(&harness, "q", 1).await?;
    beats(&harness, "p", 1).await?;
    harness.store()?.check_writable().await?;
    let told: Vec<_> = events.try_iter().collect();
    let logged = harness.store()?.read_after(&health("p")?, Offset(3), 10).await?;
    assert_eq!(told.len(), 2);
    let (told, logged) = (told.last().ok_or("nothing told")?, logged.last().ok_or("nothing logged")?);
    assert_eq!((&told.topic, told.offset), (&logged.topic, logged.offset));
    assert_eq!((told.kind, told.recorded_at), (logged.kind, logged.recorded_at));
    let taken_at = harness.clock.now();
    assert_eq!(told.series, Some(Series { metric: Metric::HeartRate, taken_at }), "what it is a value of");
    assert_eq!(logged.series, None);
    assert_eq!(told.payload.get(), logged.payload.get(), "live and replayed events are the same bytes");
    Ok(())
}

/// The earlier listener hears nothing more.
pub async fn a_later_listener_replaces_the_earlier(harness: Harness) -> Outcome {
    people(&harness).await?;
    let ((first, first_heard), (second, second_heard)) = (teller(), teller());
    harness.store()?.set_commit_listener(first);
    beats(&harness, "p", 1).await?;
    assert_eq!(heard(&harness, &first_heard).await?, of("health:p", 1..=1));
    harness.store()?.set_commit_listener(second);
    beats(&harness, "p", 1).await?;
    assert_eq!(heard(&harness, &second_heard).await?, of("health:p", 2..=2));
    assert!(first_heard.try_recv().is_err());
    Ok(())
}

/// What stores no event tells of none.
pub async fn hears_nothing_of_duplicates_and_refusals(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (listener, events) = teller();
    harness.store()?.set_commit_listener(listener);
    let measurement = named(&harness, "a", 60.0)?;
    harness.store()?.record(recording("p", "d", vec![measurement.clone()])?).await?;
    assert_eq!(heard(&harness, &events).await?, of("health:p", 1..=1));
    harness.store()?.record(recording("p", "d", vec![measurement.clone()])?).await?;
    assert!(harness.store()?.record(recording("p", "nobody", vec![measurement])?).await.is_err());
    assert_eq!(heard(&harness, &events).await?, []);
    Ok(())
}

/// However many record at once, each topic's events are told in offset order without a hole.
pub async fn order_holds_under_concurrent_recordings(harness: Harness) -> Outcome {
    const THREADS: usize = 4;
    const EACH: usize = 25;
    people(&harness).await?;
    let (listener, events) = teller();
    harness.store()?.set_commit_listener(listener);
    let measurement = beat(&harness, 0, 70.0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|n| {
                let (store, measurement) = (harness.store().map(Arc::clone), measurement.clone());
                scope.spawn(move || -> Outcome {
                    let (store, patient) = (store?, ["p", "q"][n % 2]);
                    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                    for size in 0..EACH {
                        let batch = vec![measurement.clone(); 1 + size % 3];
                        runtime.block_on(store.record(recording(patient, patient, batch)?))?;
                    }
                    Ok(())
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })?;
    let told = heard(&harness, &events).await?;
    for topic in ["health:p", "health:q"] {
        let of_topic: Vec<_> = told.iter().filter(|(told, _)| told == topic).cloned().collect();
        let stored = harness.store()?.range(&topic.parse()?).await?.head.0;
        assert_eq!(of_topic, of(topic, 1..=stored));
        // Batches of 1, 2, 3, 1, … by two threads.
        assert_eq!(stored, 2 * (0..EACH as u64).map(|size| 1 + size % 3).sum::<u64>());
    }
    Ok(())
}
