//! `measurements`: the history, its order, filters and pages.

use healthmate_care::{Clock, Measurement, Metric};
use healthmate_protocol::{ClientId, Offset, OriginalQuantity, Timestamp};

use super::sample::{beat, beats, everything_of, id, people, recording};
use super::{Failed, Harness, Outcome};
use crate::{Cursor, MeasurementQuery};

async fn values(harness: &Harness, query: MeasurementQuery) -> Result<Vec<f64>, Failed> {
    let page = harness.store()?.measurements(query).await?;
    Ok(page.measurements.iter().map(|measurement| measurement.data.value).collect())
}

/// No measurements, and no further page.
pub async fn a_history_is_empty_for_strangers(harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "q", 2).await?;
    for patient in ["p", "nobody"] {
        let page = harness.store()?.measurements(everything_of(patient)?).await?;
        assert!(page.measurements.is_empty() && page.next.is_none());
    }
    Ok(())
}

/// By `taken_at`, then by offset, both falling, whatever the order of arrival.
pub async fn newest_taken_comes_first(harness: Harness) -> Outcome {
    people(&harness).await?;
    let batch = [(0, 1.0), (-10, 2.0), (5, 3.0), (0, 4.0), (-10, 5.0)];
    let batch = batch.map(|(second, value)| beat(&harness, second, value)).to_vec();
    harness.store()?.record(recording("p", "d", batch)?).await?;
    assert_eq!(values(&harness, everything_of("p")?).await?, [3.0, 4.0, 1.0, 5.0, 2.0]);
    Ok(())
}

/// What was recorded is what is read, field by field, also after a reopening.
pub async fn every_field_comes_back(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let now = harness.clock.now();
    let mut batch: Vec<Measurement> = Metric::ALL
        .into_iter()
        .map(|metric| Measurement { metric, value: metric.plausible().0 + 0.1, ..beat(&harness, 0, 0.0) })
        .collect();
    batch.push(Measurement {
        metric: Metric::Glucose,
        value: 99.085_8,
        taken_at: "1999-12-31T23:59:59.999999Z".parse()?,
        client_id: Some(ClientId::new("a 'quoted' \"name\"")?),
        device: Some("CGM «7»; DROP TABLE".to_owned()),
        original: Some(OriginalQuantity { value: 5.5, unit: "mmol/L".to_owned() }),
    });
    harness.store()?.record(recording("p", "d", batch.clone())?).await?;
    let (patient, author) = (id("p")?, id("d")?);
    for _ in 0..2 {
        let page = harness.store()?.measurements(everything_of("p")?).await?;
        assert_eq!(page.measurements.len(), batch.len());
        for read in page.measurements {
            let sent = &batch[usize::try_from(read.offset.0 - 1)?];
            assert!(read.data == sent.to_data(&patient, &author, now), "a field of {} changed", sent.metric);
        }
        harness.reopen()?;
    }
    Ok(())
}

/// Page by page, with many equal times, while more is recorded: each is read once, in order.
pub async fn pages_join_without_hole_or_repeat(harness: Harness) -> Outcome {
    people(&harness).await?;
    let batch = (0..20).map(|n| beat(&harness, n / 7, n as f64)).collect();
    harness.store()?.record(recording("p", "d", batch)?).await?;
    let all = values(&harness, everything_of("p")?).await?;
    for limit in [1, 3, 7, 19, 20, 21] {
        let (mut read, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = harness
                .store()?
                .measurements(MeasurementQuery { limit, after, ..everything_of("p")? })
                .await?;
            assert!(page.measurements.len() <= limit as usize);
            read.extend(page.measurements.iter().map(|m| m.data.value));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
            let newer = beat(&harness, 100, 999.0);
            harness.store()?.record(recording("p", "d", vec![newer])?).await?;
        }
        let old: Vec<_> = read.iter().copied().filter(|value| *value < 999.0).collect();
        assert_eq!(old, all, "limit {limit}");
        assert_eq!(pages, read.len().div_ceil(limit as usize), "no empty last page at limit {limit}");
    }
    Ok(())
}

/// Metric, from, to, and the values that pass.
type Filtered<'a> = (Option<Metric>, Option<Timestamp>, Option<Timestamp>, &'a [f64]);

/// `from` is inclusive, `to` exclusive, and all filters hold together.
pub async fn filters_hold_at_their_limits(harness: Harness) -> Outcome {
    people(&harness).await?;
    let now = harness.clock.now();
    let at = |second: i64| Some(now.plus_millis(second * 1000));
    let mut batch: Vec<_> = (0..6).map(|n| beat(&harness, n, n as f64)).collect();
    batch[2].metric = Metric::Steps;
    batch[4].metric = Metric::Steps;
    harness.store()?.record(recording("p", "d", batch)?).await?;
    let steps = Some(Metric::Steps);
    let table: [Filtered; 8] = [
        (None, at(2), at(5), &[4.0, 3.0, 2.0]),
        (None, at(5), None, &[5.0]),
        (None, None, at(0), &[]),
        (None, at(3), at(3), &[]),
        (steps, None, None, &[4.0, 2.0]),
        (steps, at(2), at(4), &[2.0]),
        (steps, at(3), at(4), &[]),
        (Some(Metric::Glucose), None, None, &[]),
    ];
    for (metric, from, to, expected) in table {
        let query = MeasurementQuery { metric, from, to, ..everything_of("p")? };
        assert_eq!(values(&harness, query).await?, expected, "{metric:?} {from:?} {to:?}");
    }
    let after = Some(Cursor { taken_at: now.plus_millis(4000), offset: Offset(5) });
    let query = MeasurementQuery { after, metric: steps, from: at(1), to: at(9), ..everything_of("p")? };
    assert_eq!(values(&harness, query).await?, [2.0], "the cursor and the filters hold together");
    let query = MeasurementQuery { after, to: at(3), ..everything_of("p")? };
    assert_eq!(values(&harness, query).await?, [2.0, 1.0, 0.0], "the narrower of the two ends holds");
    Ok(())
}

/// A cursor survives its text.
pub async fn a_cursor_is_its_text(harness: Harness) -> Outcome {
    people(&harness).await?;
    let batch = vec![beat(&harness, -4_000_000_000, 1.0), beat(&harness, -4_000_000_000, 2.0)];
    harness.store()?.record(recording("p", "d", batch)?).await?;
    let page = harness.store()?.measurements(MeasurementQuery { limit: 1, ..everything_of("p")? }).await?;
    let next = page.next.ok_or("there is a second page")?;
    assert!(next.taken_at.as_micros() < 0, "before 1970");
    let read: Cursor = next.to_string().parse()?;
    assert_eq!(read, next);
    assert_eq!(values(&harness, MeasurementQuery { after: Some(read), ..everything_of("p")? }).await?, [1.0]);
    for text in ["", ".", "1", "1.", ".1", "1.-1", "a.1", "1.1.1"] {
        assert!(text.parse::<Cursor>().is_err(), "{text:?} was taken");
    }
    Ok(())
}

/// The one taken last, and of those the one stored last; nothing for metrics that were never measured, for strangers
/// and for those without any.
pub async fn the_newest_of_each_metric_is_found(harness: Harness) -> Outcome {
    people(&harness).await?;
    beats(&harness, "q", 2).await?;
    let glucose = |second, value| Measurement { metric: Metric::Glucose, ..beat(&harness, second, value) };
    let batch =
        vec![beat(&harness, 5, 1.0), glucose(0, 90.0), beat(&harness, 9, 2.0), beat(&harness, 9, 3.0)];
    harness.store()?.record(recording("p", "d", batch)?).await?;
    let late = vec![beat(&harness, 7, 4.0), glucose(1, 95.0)];
    harness.store()?.record(recording("p", "d", late)?).await?;
    let newest = harness.store()?.newest(&id("p")?).await?;
    let found: Vec<_> =
        newest.iter().map(|held| (held.offset.0, held.data.metric.as_str(), held.data.value)).collect();
    assert_eq!(found, [(4, "heart_rate", 3.0), (6, "glucose", 95.0)]);
    let history = harness.store()?.measurements(everything_of("p")?).await?;
    assert!(newest.iter().all(|held| history.measurements.contains(held)), "a field changed");
    assert!(harness.store()?.newest(&id("nobody")?).await?.is_empty());
    assert_eq!(harness.store()?.newest(&id("q")?).await?.len(), 1);
    Ok(())
}
