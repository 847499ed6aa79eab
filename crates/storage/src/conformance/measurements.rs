//! `record`: receipts, names, all or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use healthmate_care::{AuditAction, AuditRecord};
use healthmate_protocol::{ClientId, MAX_BATCH, OriginalQuantity};

use super::sample::{beat, beats, by, everything_of, health, id, logged, named, offsets, people, recording};
use super::{Failed, Harness, Outcome};
use crate::{Error, Idempotency, Recording};

/// One receipt for each measurement, with its name and what was noted about it.
pub async fn receipts_come_in_order(harness: Harness) -> Outcome {
    people(&harness).await?;
    let mut converted = named(&harness, "b", 62.0)?;
    converted.original = Some(OriginalQuantity { value: 62.0, unit: "bpm".to_owned() });
    let batch = vec![named(&harness, "a", 60.0)?, beat(&harness, 0, 61.0), converted];
    let receipts = harness.store()?.record(recording("p", "d", batch)?).await?;
    assert_eq!(offsets(&receipts), [1, 2, 3]);
    let names: Vec<_> = receipts.iter().map(|r| r.client_id.as_ref().map(ClientId::as_str)).collect();
    assert_eq!(names, [Some("a"), None, Some("b")]);
    assert_eq!(receipts[2].flags, ["converted"]);
    assert!(receipts[0].flags.is_empty() && receipts.iter().all(|receipt| !receipt.duplicate));
    assert!(harness.store()?.record(recording("p", "d", Vec::new())?).await?.is_empty());
    Ok(())
}

/// The second of two equal names is a duplicate of the first, and takes no offset.
pub async fn a_name_used_twice_in_a_batch_is_stored_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let batch = vec![named(&harness, "a", 60.0)?, named(&harness, "a", 61.0)?, beat(&harness, 0, 62.0)];
    let receipts = harness.store()?.record(recording("p", "d", batch)?).await?;
    assert_eq!(offsets(&receipts), [1, 1, 2]);
    assert_eq!(receipts.iter().map(|receipt| receipt.duplicate).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(logged(&harness, "p").await?, [1, 2]);
    let history = harness.store()?.measurements(everything_of("p")?).await?;
    assert_eq!(history.measurements.iter().map(|m| m.data.value).collect::<Vec<_>>(), [62.0, 60.0]);
    Ok(())
}

/// Also when it is sent again after a reopening, with another value, and when its event has left the log.
pub async fn a_name_used_before_gets_its_first_receipt(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let mut first = named(&harness, "a", 60.0)?;
    first.original = Some(OriginalQuantity { value: 60.0, unit: "bpm".to_owned() });
    beats(&harness, "p", 1).await?;
    harness.store()?.record(recording("p", "d", vec![first])?).await?;
    harness.clock.advance_millis(1000);
    harness.store()?.trim(healthmate_care::Clock::now(harness.clock.as_ref()), 10).await?;
    harness.reopen()?;
    let again = vec![beat(&harness, 0, 70.0), named(&harness, "a", 71.0)?];
    let receipts = harness.store()?.record(recording("p", "d", again)?).await?;
    assert_eq!(offsets(&receipts), [3, 2]);
    assert!(receipts[1].duplicate && !receipts[0].duplicate);
    assert_eq!(receipts[1].flags, ["converted"], "the first receipt says so");
    assert_eq!(receipts[1].client_id.as_ref().map(ClientId::as_str), Some("a"));
    Ok(())
}

/// Two authors, or two patients of one author, may use the same name.
pub async fn names_belong_to_their_author_and_patient(harness: Harness) -> Outcome {
    people(&harness).await?;
    for (patient, author, offset) in [("p", "d", 1), ("p", "p", 2), ("q", "d", 1), ("q", "q", 2)] {
        let batch = vec![named(&harness, "a", 60.0)?];
        let receipts = harness.store()?.record(recording(patient, author, batch)?).await?;
        assert_eq!(offsets(&receipts), [offset], "{patient} by {author}");
        assert!(!receipts[0].duplicate);
    }
    Ok(())
}

/// Patients must exist and be patients; authors must exist.
pub async fn unknown_people_are_refused_and_nothing_is_stored(harness: Harness) -> Outcome {
    people(&harness).await?;
    let table =
        [("nobody", "d", "patient"), ("n", "d", "patient"), ("d", "d", "patient"), ("p", "nobody", "user")];
    for (patient, author, missing) in table {
        let batch = vec![beat(&harness, 0, 60.0), beat(&harness, 1, 61.0)];
        let refused = harness.store()?.record(recording(patient, author, batch)?).await;
        assert_eq!(refused, Err(Error::NotFound(missing)), "{patient} by {author}");
        assert_eq!(harness.store()?.range(&health(patient)?).await?.head.0, 0);
        assert!(harness.store()?.measurements(everything_of(patient)?).await?.measurements.is_empty());
    }
    assert_eq!(offsets(&beats(&harness, "p", 1).await?), [1], "no offset was used up");
    Ok(())
}

/// With its record where it has one: not when it is refused, nor when a request is repeated, which changes nothing.
pub async fn a_recording_is_on_record_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let wrote = AuditRecord::new(by(), AuditAction::Write).object("health:p").patient(&id("p")?);
    let recording = |patient: &str, digest: u8| -> Result<Recording, Failed> {
        let idempotency = Some(Idempotency { key: "k".to_owned(), digest: [digest; 32] });
        let audit = Some(Box::new(wrote.clone()));
        Ok(Recording { idempotency, audit, ..recording(patient, "d", vec![named(&harness, "a", 60.0)?])? })
    };
    let before = store.audit_after(0, 1000).await?.len() as u64;
    assert!(store.record(recording("nobody", 1)?).await.is_err());
    for _ in 0..2 {
        store.record(recording("p", 1)?).await?;
    }
    assert_eq!(store.record(recording("p", 2)?).await, Err(Error::IdempotencyConflict));
    store.record(Recording { audit: None, idempotency: None, ..recording("p", 1)? }).await?;
    let said = store.audit_after(before, 1000).await?.into_iter().map(|entry| entry.record);
    assert_eq!(said.collect::<Vec<_>>(), [wrote]);
    Ok(())
}

/// A refused key refuses the whole batch, and its names stay free.
pub async fn a_conflict_stores_nothing_of_the_batch(harness: Harness) -> Outcome {
    people(&harness).await?;
    let keyed = |digest, batch| -> Result<Recording, Failed> {
        let idempotency = Some(Idempotency { key: "k".to_owned(), digest: [digest; 32] });
        Ok(Recording { idempotency, ..recording("p", "d", batch)? })
    };
    harness.store()?.record(keyed(1, vec![beat(&harness, 0, 60.0)])?).await?;
    let batch = vec![beat(&harness, 0, 61.0), named(&harness, "a", 62.0)?];
    assert_eq!(harness.store()?.record(keyed(2, batch)?).await, Err(Error::IdempotencyConflict));
    assert_eq!(logged(&harness, "p").await?, [1]);
    assert_eq!(harness.store()?.measurements(everything_of("p")?).await?.measurements.len(), 1);
    let receipts = harness.store()?.record(recording("p", "d", vec![named(&harness, "a", 62.0)?])?).await?;
    assert_eq!((offsets(&receipts), receipts[0].duplicate), (vec![2], false));
    Ok(())
}

/// The largest batch there is.
pub async fn a_full_batch_is_stored(harness: Harness) -> Outcome {
    people(&harness).await?;
    let given = offsets(&beats(&harness, "p", MAX_BATCH).await?);
    assert_eq!(given, (1..=MAX_BATCH as u64).collect::<Vec<_>>());
    assert_eq!(logged(&harness, "p").await?, given);
    Ok(())
}

/// Many send the same names at once: each is stored once, and all are told the same offset.
pub async fn concurrent_recordings_of_a_name_store_it_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(harness.store()?);
        let batch = vec![named(&harness, "a", 60.0)?, named(&harness, "b", 61.0)?];
        let recording = recording("p", "d", batch)?;
        senders.spawn(async move { store.record(recording).await });
    }
    let mut answers = BTreeSet::new();
    let mut stored = 0;
    while let Some(receipts) = senders.join_next().await {
        let receipts = receipts??;
        answers.insert(offsets(&receipts));
        stored += receipts.iter().filter(|receipt| !receipt.duplicate).count();
    }
    assert_eq!(answers, BTreeSet::from([vec![1, 2]]));
    assert_eq!(stored, 2);
    assert_eq!(logged(&harness, "p").await?, [1, 2]);
    Ok(())
}
