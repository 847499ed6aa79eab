//! Records are filed under their patients some thousands at a time: a patient's access log shows them before and after.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::sync::Arc;

use healthmate_care::{AuditAction, AuditRecord, By, ManualClock};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::{AccessLogQuery, AuditTrail};
use healthmate_storage_sqlite::{Options, SqliteStore, TrailReader};
use rusqlite::Connection;

fn open(folder: &Path) -> Arc<SqliteStore> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    SqliteStore::open(folder, &Options::default(), clock).expect("opened")
}

/// Of ten patients in turn.
fn records(from: u64, upto: u64) -> Vec<AuditRecord> {
    let of = |n: u64| {
        let by = By::server(Timestamp::from_micros(n as i64));
        let patient = UserId::new(&format!("p{}", n % 10)).expect("valid");
        AuditRecord::new(by, AuditAction::Read).patient(&patient)
    };
    (from..=upto).map(of).collect()
}

/// A patient's records, page by page, newest first.
async fn log(store: &SqliteStore, patient: &str) -> Vec<u64> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let patient = UserId::new(patient).expect("valid");
        let page = AccessLogQuery { patient, from: None, to: None, before, limit: 7 };
        let page = store.access_log(page).await.expect("read");
        let Some(last) = page.last() else { return found };
        before = Some(last.seq);
        found.extend(page.iter().map(|entry| entry.seq));
    }
}

#[tokio::test]
async fn a_patient_sees_filed_and_new_records_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let mut last = 0;
    for upto in [1500, 4095, 4096, 4200, 8191, 8192, 18_000, 18_001] {
        store.audit(records(last + 1, upto)).await.expect("recorded");
        last = upto;
        let expected: Vec<u64> = (1..=upto).rev().filter(|n| n % 10 == 3).collect();
        assert_eq!(log(&store, "p3").await, expected, "up to {upto}");
        drop(store);
        store = open(folder.path());
        assert_eq!(log(&store, "p3").await, expected, "up to {upto}, opened again");
    }
    let reader = TrailReader::open(folder.path()).expect("opened");
    assert_eq!(reader.left_out().expect("read"), None);
}

#[tokio::test]
async fn what_was_taken_out_of_a_patients_file_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).audit(records(1, 5000)).await.expect("recorded");
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    let take = "DELETE FROM audit_in_run WHERE patient = 'p3' AND seq = 1003";
    assert!(conn.execute_batch(take).is_err(), "the file guards itself");
    conn.execute_batch(&format!("DROP TRIGGER audit_in_run_never_deleted; {take}")).expect("edited");
    let reader = TrailReader::open(folder.path()).expect("opened");
    assert_eq!(reader.left_out().expect("read"), Some(1003));
}

/// Whoever files another's record under a patient shows the patient nothing of it.
#[tokio::test]
async fn what_was_put_into_a_patients_file_is_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store.audit(records(1, 5000)).await.expect("recorded");
    let shown = log(&store, "p3").await;
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    conn.execute_batch("INSERT INTO audit_in_run (run, patient, seq) VALUES (5000, 'p3', 1004)")
        .expect("edited");
    assert!(log(&store, "p3").await == shown, "another's record is shown");
}

/// A trail whose end was cut off is written on: that it was cut is for `audit verify` to say.
#[tokio::test]
async fn a_trail_that_was_cut_behind_what_is_filed_is_written_on() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).audit(records(1, 5000)).await.expect("recorded");
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    conn.execute_batch("DROP TRIGGER audit_never_deleted; DELETE FROM audit WHERE seq > 4000").expect("cut");
    let store = open(folder.path());
    store.audit(records(4001, 4010)).await.expect("recorded");
    assert_eq!(store.audit_head().await.expect("read").map(|(seq, _)| seq), Some(4010));
}

/// A copy of a database from before there were runs.
#[tokio::test]
async fn nothing_is_left_out_where_nothing_is_filed() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).audit(records(1, 5000)).await.expect("recorded");
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    conn.execute_batch("DROP TABLE audit_in_run; DROP TABLE audit_run").expect("as it was");
    let reader = TrailReader::open(folder.path()).expect("opened");
    assert_eq!(reader.left_out().expect("read"), None);
}
