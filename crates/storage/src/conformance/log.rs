//! The event log: offsets, reading, the epoch; and the probe.

use healthmate_care::Clock;
use healthmate_protocol::{MeasurementData, Offset, Topic, TopicKind};

use super::sample::{beat, beats, health, id, logged, offsets, people, recording};
use super::{Harness, Outcome};
use crate::{EventKind, LogRange};

/// `range` and `read_after` of topics that never had an event.
pub async fn a_fresh_log_is_empty(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    for topic in [health("p")?, health("nobody")?, Topic::new(TopicKind::Chat, id("p")?)] {
        assert_eq!(store.range(&topic).await?, LogRange { oldest: Offset(1), head: Offset::START });
        assert!(store.read_after(&topic, Offset::START, 10).await?.is_empty());
    }
    Ok(())
}

/// `record` gives each topic 1, 2, 3, … however the patients alternate.
pub async fn offsets_are_dense_for_each_topic(harness: Harness) -> Outcome {
    people(&harness).await?;
    let mut given = [Vec::new(), Vec::new()];
    for (patient, count) in [("p", 3), ("q", 1), ("p", 1), ("q", 4), ("p", 2)] {
        given[usize::from(patient == "q")].extend(offsets(&beats(&harness, patient, count).await?));
    }
    assert_eq!(given[0], [1, 2, 3, 4, 5, 6]);
    assert_eq!(given[1], [1, 2, 3, 4, 5]);
    assert_eq!(logged(&harness, "p").await?, given[0]);
    assert_eq!(logged(&harness, "q").await?, given[1]);
    let range = harness.store()?.range(&health("q")?).await?;
    assert_eq!(range, LogRange { oldest: Offset(1), head: Offset(5) });
    Ok(())
}

/// The event's payload is the measurement as the wire carries it.
pub async fn an_event_says_what_was_stored(harness: Harness) -> Outcome {
    people(&harness).await?;
    let measurement = beat(&harness, -5, 61.5);
    let expected = measurement.to_data(&id("p")?, &id("d")?, harness.clock.now());
    harness.store()?.record(recording("p", "d", vec![measurement])?).await?;
    let events = harness.store()?.read_after(&health("p")?, Offset::START, 10).await?;
    let event = events.first().ok_or("no event")?;
    assert_eq!((&event.topic, event.offset), (&health("p")?, Offset(1)));
    assert_eq!((event.kind, event.recorded_at), (EventKind::HealthUpdate, harness.clock.now()));
    assert_eq!(serde_json::from_str::<MeasurementData>(event.payload.get())?, expected);
    assert_eq!(events.len(), 1);
    Ok(())
}

/// `read_after` starts after its offset, ends at its limit, and knows no other topic.
pub async fn reading_goes_on_after_an_offset_up_to_a_limit(harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 10).await?;
    beats(&harness, "q", 2).await?;
    let table: [(u64, u32, &[u64]); 6] =
        [(0, 3, &[1, 2, 3]), (3, 3, &[4, 5, 6]), (8, 100, &[9, 10]), (10, 5, &[]), (99, 5, &[]), (4, 0, &[])];
    for (after, limit, expected) in table {
        let events = harness.store()?.read_after(&health("p")?, Offset(after), limit).await?;
        assert_eq!(
            events.iter().map(|e| e.offset.0).collect::<Vec<_>>(),
            expected,
            "after {after}, limit {limit}"
        );
        assert!(events.iter().all(|event| event.topic.id().as_str() == "p"));
    }
    Ok(())
}

/// Offsets go on after a reopening where they stopped before it, and the payloads are the same bytes.
pub async fn the_log_outlives_a_reopening(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 3).await?;
    let before = harness.store()?.read_after(&health("p")?, Offset::START, 10).await?;
    harness.reopen()?;
    let after = harness.store()?.read_after(&health("p")?, Offset::START, 10).await?;
    let text = |events: &[crate::Event]| -> Vec<String> {
        events.iter().map(|e| e.payload.get().to_owned()).collect()
    };
    assert_eq!(text(&after), text(&before));
    assert_eq!(offsets(&beats(&harness, "p", 2).await?), [4, 5]);
    assert_eq!(logged(&harness, "p").await?, [1, 2, 3, 4, 5]);
    Ok(())
}

/// `epoch` is stable over a reopening, and `renew_epoch` gives another one for good.
pub async fn the_epoch_stays_until_it_is_renewed(mut harness: Harness) -> Outcome {
    let first = harness.store()?.epoch();
    harness.reopen()?;
    assert_eq!(harness.store()?.epoch(), first);
    let second = harness.store()?.renew_epoch().await?;
    assert_ne!(second, first);
    assert_eq!(harness.store()?.epoch(), second);
    harness.reopen()?;
    assert_eq!(harness.store()?.epoch(), second);
    Ok(())
}

/// `check_writable` works and is of no consequence.
pub async fn the_store_can_be_written(harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 1).await?;
    harness.store()?.check_writable().await?;
    harness.store()?.check_writable().await?;
    assert_eq!(logged(&harness, "p").await?, [1]);
    Ok(())
}
