//! Idempotency keys: the same request has the same answer, once.

use healthmate_care::Clock;

use super::sample::{beat, beats, logged, named, offsets, people, recording};
use super::{Failed, Harness, Outcome};
use crate::{Error, Idempotency, Recording};

fn keyed(harness: &Harness, author: &str, key: &str, digest: u8) -> Result<Recording, Failed> {
    let measurements = vec![beat(harness, 0, 60.0), named(harness, "a", 61.0)?];
    let idempotency = Some(Idempotency { key: key.to_owned(), digest: [digest; 32] });
    Ok(Recording { idempotency, ..recording("p", author, measurements)? })
}

/// The first answer, unchanged: nothing in it is marked as a duplicate.
pub async fn a_repetition_gets_the_first_answer(harness: Harness) -> Outcome {
    people(&harness).await?;
    let first = harness.store()?.record(keyed(&harness, "d", "k", 1)?).await?;
    beats(&harness, "p", 1).await?;
    harness.clock.advance_millis(1000);
    assert_eq!(harness.store()?.record(keyed(&harness, "d", "k", 1)?).await?, first);
    assert_eq!(offsets(&first), [1, 2]);
    assert!(first.iter().all(|receipt| !receipt.duplicate));
    assert_eq!(logged(&harness, "p").await?, [1, 2, 3]);
    Ok(())
}

/// A key names one request.
pub async fn another_request_under_the_same_key_is_refused(harness: Harness) -> Outcome {
    people(&harness).await?;
    harness.store()?.record(keyed(&harness, "d", "k", 1)?).await?;
    let refused = harness.store()?.record(keyed(&harness, "d", "k", 2)?).await;
    assert_eq!(refused, Err(Error::IdempotencyConflict));
    let other_key = harness.store()?.record(keyed(&harness, "d", "l", 2)?).await?;
    assert_eq!(offsets(&other_key), [3, 2], "a new key, but the second measurement has a name");
    assert_eq!(logged(&harness, "p").await?, [1, 2, 3]);
    Ok(())
}

/// Two authors may use the same key.
pub async fn a_key_belongs_to_its_author(harness: Harness) -> Outcome {
    people(&harness).await?;
    harness.store()?.record(keyed(&harness, "d", "k", 1)?).await?;
    let other = harness.store()?.record(keyed(&harness, "p", "k", 2)?).await?;
    assert_eq!(offsets(&other), [3, 4]);
    Ok(())
}

/// What was refused has no answer that could be repeated.
pub async fn a_refused_request_leaves_its_key_free(harness: Harness) -> Outcome {
    people(&harness).await?;
    let stranger = Recording { patient: super::sample::id("n")?, ..keyed(&harness, "d", "k", 1)? };
    assert_eq!(harness.store()?.record(stranger).await, Err(Error::NotFound("patient")));
    assert_eq!(offsets(&harness.store()?.record(keyed(&harness, "d", "k", 2)?).await?), [1, 2]);
    Ok(())
}

/// `forget_idempotency_keys` forgets the oldest first, up to its limit, and none used at or after its time.
pub async fn forgotten_keys_may_be_used_again(harness: Harness) -> Outcome {
    people(&harness).await?;
    for key in ["a", "b", "c"] {
        harness.store()?.record(keyed(&harness, "d", key, 1)?).await?;
        harness.clock.advance_millis(1000);
    }
    let used = |ago: i64| harness.clock.now().plus_millis(-1000 * ago);
    assert_eq!(harness.store()?.forget_idempotency_keys(used(3), 10).await?, 0);
    assert_eq!(harness.store()?.forget_idempotency_keys(used(1), 1).await?, 1);
    assert!(harness.store()?.record(keyed(&harness, "d", "a", 2)?).await.is_ok(), "a is forgotten");
    for kept in ["b", "c"] {
        let refused = harness.store()?.record(keyed(&harness, "d", kept, 2)?).await;
        assert_eq!(refused, Err(Error::IdempotencyConflict), "{kept} is kept");
    }
    assert_eq!(harness.store()?.forget_idempotency_keys(used(0).plus_millis(1), 10).await?, 3);
    Ok(())
}

/// An answer that was given is given again after a restart.
pub async fn answers_outlive_a_reopening(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let first = harness.store()?.record(keyed(&harness, "d", "k", 1)?).await?;
    harness.reopen()?;
    assert_eq!(harness.store()?.record(keyed(&harness, "d", "k", 1)?).await?, first);
    let refused = harness.store()?.record(keyed(&harness, "d", "k", 2)?).await;
    assert_eq!(refused, Err(Error::IdempotencyConflict));
    Ok(())
}
