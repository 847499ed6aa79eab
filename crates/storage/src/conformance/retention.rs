//! `trim`: what the log forgets.

use healthmate_care::Clock;
use healthmate_protocol::{Offset, Timestamp};

use super::sample::{beats, everything_of, health, logged, offsets, people};
use super::{Failed, Harness, Outcome};
use crate::LogRange;

async fn range(harness: &Harness, patient: &str) -> Result<(u64, u64), Failed> {
    let LogRange { oldest, head } = harness.store()?.range(&health(patient)?).await?;
    Ok((oldest.0, head.0))
}

/// The oldest offset moves, the head and the history stay, and reading from before starts at the oldest.
pub async fn trim_forgets_what_is_old_and_keeps_heads_and_history(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 3).await?;
    beats(&harness, "q", 1).await?;
    harness.clock.advance_millis(1000);
    let before = harness.clock.now();
    beats(&harness, "p", 2).await?;
    assert_eq!(harness.store()?.trim(before, 100).await?, 4);
    assert_eq!(harness.store()?.trim(before, 100).await?, 0, "what is gone is not forgotten twice");
    for _ in 0..2 {
        assert_eq!(range(&harness, "p").await?, (4, 5));
        assert_eq!(range(&harness, "q").await?, (2, 1));
        let events = harness.store()?.read_after(&health("p")?, Offset(1), 10).await?;
        assert_eq!(events.iter().map(|event| event.offset.0).collect::<Vec<_>>(), [4, 5]);
        let history = harness.store()?.measurements(everything_of("p")?).await?;
        assert_eq!(history.measurements.len(), 5);
        harness.reopen()?;
    }
    Ok(())
}

/// At most `limit` events are forgotten by one call, over all topics.
pub async fn trim_stops_at_its_limit_and_goes_on(harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 5).await?;
    beats(&harness, "q", 3).await?;
    harness.clock.advance_millis(1);
    let now = harness.clock.now();
    for (limit, expected) in [(0, 0), (2, 2), (4, 4), (100, 2)] {
        assert_eq!(harness.store()?.trim(now, limit).await?, expected);
        let kept = logged(&harness, "p").await?;
        assert_eq!(kept, (6 - kept.len() as u64..=5).collect::<Vec<_>>(), "the oldest go first");
    }
    assert_eq!(range(&harness, "p").await?, (6, 5));
    assert_eq!(range(&harness, "q").await?, (4, 3));
    Ok(())
}

/// An event that only looks old because the clock went back stays while an earlier one is kept.
pub async fn trim_leaves_no_hole_when_the_clock_went_back(harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 1).await?;
    harness.clock.advance_millis(10_000);
    beats(&harness, "p", 1).await?;
    harness.clock.advance_millis(-9000);
    beats(&harness, "p", 1).await?;
    let between = harness.clock.now().plus_millis(1000);
    assert_eq!(harness.store()?.trim(between, 100).await?, 1);
    assert_eq!(logged(&harness, "p").await?, [2, 3]);
    assert_eq!(harness.store()?.trim(between, 100).await?, 0);
    let after_all = harness.clock.now().plus_millis(20_000);
    assert_eq!(harness.store()?.trim(after_all, 100).await?, 2);
    Ok(())
}

/// A log without events keeps its head, also over a reopening, and its next event comes after it.
pub async fn an_emptied_log_goes_on_at_its_head(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "p", 3).await?;
    let far = Timestamp::MAX;
    assert_eq!(harness.store()?.trim(far, 100).await?, 3);
    assert_eq!(range(&harness, "p").await?, (4, 3));
    harness.reopen()?;
    assert_eq!(range(&harness, "p").await?, (4, 3));
    assert_eq!(offsets(&beats(&harness, "p", 2).await?), [4, 5]);
    assert_eq!(range(&harness, "p").await?, (4, 5));
    assert_eq!(logged(&harness, "p").await?, [4, 5]);
    assert_eq!(harness.store()?.trim(far, 1).await?, 1);
    assert_eq!(range(&harness, "p").await?, (5, 5));
    Ok(())
}
