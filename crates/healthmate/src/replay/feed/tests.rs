//! What is sent, and what answers do to it.

use healthmate_protocol::Offset;
use healthmate_protocol::server::MeasurementReceipt;

use super::super::recording::Selection;
use super::super::timeline::{Pace, begin};
use super::*;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().expect("valid")
}

/// Ten rows, one a second, of which six are due.
fn feed() -> Feed {
    feed_of(10)
}

/// So many rows, one a second, of which the first six are due.
fn feed_of(rows: u32) -> Feed {
    let rows: Vec<_> = (0..rows).map(|row| format!("{},{}", row * 1000, 60 + row)).collect();
    let csv = format!("t_ms,bpm\n{}\n", rows.join("\n"));
    let recording = Recording::read("test", csv.as_bytes(), &Selection::default()).expect("valid");
    let pace = Pace { speed: 1.0, looped: false, history_ms: 5000 };
    let beginning = begin(&recording, pace, None, now());
    Feed::new(Arc::new(recording), "p".parse().expect("valid"), false, beginning)
}

fn send(feed: &mut Feed, now: Timestamp, max_bytes: usize) -> (CorrelationId, Vec<MeasurementInput>) {
    let message = feed.message(now, max_bytes).expect("something is due");
    assert!(message.to_text().len() <= max_bytes, "the message fits");
    let Command::HealthUpdate(update) = message.command else { panic!("not a batch") };
    (message.correlation_id.expect("named"), update.batch.expect("a batch"))
}

fn receipt(count: usize, duplicate: bool) -> Acknowledgment {
    let result = MeasurementReceipt { offset: Offset(1), client_id: None, duplicate, flags: Vec::new() };
    Acknowledgment { patient: "p".parse().expect("valid"), results: vec![result; count] }
}

fn error(code: ErrorCode, field: Option<&str>) -> Error {
    Error { code, message: "no".to_owned(), field: field.map(str::to_owned), retry: code.retry() }
}

#[test]
fn what_is_due_goes_in_one_batch_and_the_rest_when_it_falls_due() {
    let mut feed = feed();
    assert_eq!(feed.remaining(), Some(10));
    let (id, batch) = send(&mut feed, now(), 65_536);
    assert_eq!(batch.len(), 6);
    assert_eq!(feed.message(now(), 65_536), None, "one batch at a time");
    assert_eq!(feed.acknowledged(Some(&id), &receipt(6, false)), Ok(true));
    assert_eq!(feed.message(now(), 65_536), None, "nothing is due");
    assert_eq!(feed.due_at(), Some(now().plus_millis(1000)));
    let (id, batch) = send(&mut feed, now().plus_millis(4000), 65_536);
    assert_eq!(batch.len(), 4);
    assert!(!feed.is_finished());
    assert_eq!(feed.acknowledged(Some(&id), &receipt(4, true)), Ok(true));
    assert!(feed.is_finished());
    assert_eq!(feed.counts(), Counts { sent: 10, acknowledged: 10, duplicates: 4, ..Counts::default() });
}

#[test]
fn batches_keep_to_the_servers_message_size_and_hold_at_least_one() {
    let mut feed = feed();
    let (id, batch) = send(&mut feed, now(), 600);
    assert!(!batch.is_empty() && batch.len() < 6, "{}", batch.len());
    assert_eq!(feed.acknowledged(Some(&id), &receipt(batch.len(), false)), Ok(true));
    let message = feed.message(now(), 1).expect("one at least");
    let Command::HealthUpdate(update) = message.command else { panic!("not a batch") };
    assert_eq!(update.batch.expect("a batch").len(), 1);
}

#[test]
fn a_batch_fills_the_servers_message_size_to_the_last_byte_and_never_exceeds_it() {
    let whole = feed().message(now(), usize::MAX).expect("six are due").to_text().len();
    let two = feed_of(2).message(now(), usize::MAX).expect("two are due").to_text().len();
    for (max_bytes, rows) in [(whole, 6), (whole - 1, 5), (two, 2), (two - 1, 1)] {
        let message = feed().message(now(), max_bytes).expect("something is due");
        assert!(message.to_text().len() <= max_bytes, "{max_bytes}");
        let Command::HealthUpdate(update) = message.command else { panic!("not a batch") };
        assert_eq!(update.batch.expect("a batch").len(), rows, "{max_bytes}");
    }
}

#[test]
fn a_server_that_comes_back_with_a_smaller_message_size_gets_smaller_batches() {
    let mut feed = feed();
    let (_, before) = send(&mut feed, now(), 65_536);
    feed.cut();
    let mut after = Vec::new();
    while after.len() < before.len() {
        let (id, batch) = send(&mut feed, now(), 600);
        assert!(batch.len() < before.len());
        assert_eq!(feed.acknowledged(Some(&id), &receipt(batch.len(), false)), Ok(true));
        after.extend(batch);
    }
    assert!(before == after, "the same rows, in the same order");
    assert_eq!(feed.counts(), Counts { sent: 6, acknowledged: 6, resent: 6, ..Counts::default() });
    assert_eq!(feed.message(now(), 600), None, "nothing is left");
}

#[test]
fn after_a_cut_the_same_rows_are_sent_under_the_same_names() {
    let mut feed = feed();
    let (first, before) = send(&mut feed, now(), 65_536);
    feed.cut();
    let (second, after) = send(&mut feed, now().plus_millis(60_000), 65_536);
    assert!(before == after, "the batch does not grow");
    assert!(before.iter().all(|input| input.client_id.is_some()));
    assert_eq!(feed.acknowledged(Some(&first), &receipt(6, false)), Ok(false), "a late answer");
    assert_eq!(feed.acknowledged(Some(&second), &receipt(6, true)), Ok(true));
    assert_eq!(feed.counts(), Counts { sent: 6, acknowledged: 6, duplicates: 6, resent: 6, skipped: 0 });
}

#[test]
fn a_value_that_is_refused_is_skipped_and_the_others_are_sent_again() {
    let mut feed = feed();
    let (id, before) = send(&mut feed, now(), 65_536);
    let implausible = error(ErrorCode::ImplausibleValue, Some("batch[2].value"));
    assert_eq!(feed.refused(Some(&id), &implausible), Ok(true));
    let (id, after) = send(&mut feed, now(), 65_536);
    assert!(after[..2] == before[..2] && after[2..] == before[3..]);
    assert_eq!(feed.acknowledged(Some(&id), &receipt(5, false)), Ok(true));
    assert_eq!(feed.counts().skipped, 1);
    assert_eq!(feed.counts().acknowledged, 5);
}

#[test]
fn a_batch_of_nothing_but_refused_values_ends() {
    let mut feed = feed();
    let (mut id, _) = send(&mut feed, now(), 65_536);
    for left in (0..6).rev() {
        let implausible = error(ErrorCode::ImplausibleValue, Some("batch[0].value"));
        assert_eq!(feed.refused(Some(&id), &implausible), Ok(true));
        if left > 0 {
            id = send(&mut feed, now(), 65_536).0;
        }
    }
    assert_eq!(feed.message(now(), 65_536), None);
    assert_eq!(feed.counts().skipped, 6);
    assert_eq!(feed.due_at(), Some(now().plus_millis(1000)));
}

#[test]
fn what_helps_later_is_kept_and_what_never_helps_ends_the_replay() {
    let mut feed = feed();
    let (id, before) = send(&mut feed, now(), 65_536);
    assert_eq!(feed.refused(Some(&id), &error(ErrorCode::StorageFull, None)), Ok(true));
    let (id, after) = send(&mut feed, now(), 65_536);
    assert!(before == after);
    let refused = feed.refused(Some(&id), &error(ErrorCode::AccessDenied, None));
    assert!(matches!(refused, Err(FeedError::Refused { code: ErrorCode::AccessDenied, .. })));
    let past_the_end = error(ErrorCode::InvalidField, Some("batch[6].value"));
    assert!(feed.refused(Some(&id), &past_the_end).is_err());
    assert!(feed.refused(Some(&id), &error(ErrorCode::InvalidField, Some("batch"))).is_err());
}

#[test]
fn an_acknowledgment_of_another_size_is_no_acknowledgment() {
    let mut feed = feed();
    let (id, _) = send(&mut feed, now(), 65_536);
    let wrong = feed.acknowledged(Some(&id), &receipt(5, false));
    assert_eq!(wrong, Err(FeedError::WrongCount { got: 5, sent: 6 }));
}
