//! What is done to a trail behind the server's back is found, and named.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::sync::Arc;

use healthmate_care::audit::{CheckpointKey, Flaw, Verifier, link};
use healthmate_care::{AuditAction, AuditRecord, By, ManualClock};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::AuditTrail;
use healthmate_storage_sqlite::{Options, SqliteStore, TrailReader};
use rusqlite::Connection;

const RECORDS: u64 = 20;

fn key() -> CheckpointKey {
    CheckpointKey::new(&[7; 32])
}

fn record(n: u64) -> AuditRecord {
    let patient = UserId::new("ana").expect("valid");
    let by = By::anonymous(Some("192.0.2.1".parse().expect("valid")), Timestamp::from_micros(n as i64));
    AuditRecord::new(by, AuditAction::Read).object(format!("health:{n}")).patient(&patient).reason("own")
}

/// A trail of twenty records with a checkpoint at the tenth and the last.
async fn trail(folder: &Path) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let store = SqliteStore::open(folder, &Options::default(), clock).expect("opened");
    store.audit((1..=RECORDS).map(record).collect()).await.expect("recorded");
    for entry in store.audit_after(0, 100).await.expect("read") {
        if entry.seq % 10 == 0 {
            let signed = key().sign(entry.seq, &entry.link, Timestamp::from_micros(1));
            store.add_checkpoint(signed).await.expect("kept");
        }
    }
}

fn verify(folder: &Path) -> Result<u64, Flaw> {
    let reader = TrailReader::open(folder).expect("opened");
    let checkpoints = reader.checkpoints().expect("read");
    let mut verifier = Verifier::new(checkpoints, &[key().public()])?;
    let mut last = i64::MIN;
    loop {
        let rows = reader.after(last, 7).expect("read");
        let Some(row) = rows.last() else { return verifier.finish() };
        last = row.seq;
        verifier.check(&rows)?;
    }
}

/// Edits a good trail by SQL, without its triggers and checks, and verifies it.
async fn edited(sql: &str) -> Result<u64, Flaw> {
    let folder = tempfile::tempdir().expect("a folder");
    trail(folder.path()).await;
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    let triggers = "DROP TRIGGER audit_never_updated; DROP TRIGGER audit_never_deleted;
        DROP TRIGGER audit_checkpoint_never_updated; DROP TRIGGER audit_checkpoint_never_deleted;
        PRAGMA ignore_check_constraints = 1;";
    conn.execute_batch(triggers).expect("free to edit");
    conn.execute_batch(sql).expect("edited");
    drop(conn);
    verify(folder.path())
}

#[tokio::test]
async fn a_good_trail_is_good_and_guards_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    trail(folder.path()).await;
    assert_eq!(verify(folder.path()), Ok(RECORDS));
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    for sql in [
        "UPDATE audit SET reason = NULL WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 20",
        "UPDATE audit_checkpoint SET seq = 3",
        "DELETE FROM audit_checkpoint",
    ] {
        assert!(conn.execute_batch(sql).is_err(), "{sql}");
    }
    assert_eq!(verify(folder.path()), Ok(RECORDS));
}

#[tokio::test]
async fn a_change_of_any_column_is_found() {
    for set in [
        "at = at + 1",
        "actor = 'server'",
        "actor = 'servet'",
        "user = 'nora', role = 'nurse', actor = 'user'",
        "address = '192.0.2.2'",
        "address = '192.0.2.'",
        "break_glass = '019ab7c0-0000-7000-8000-000000000000'",
        "action = 'write'",
        "object = NULL",
        "patient = 'ben'",
        "reason = 'care_team'",
        "outcome = 'denied'",
        "link = zeroblob(32)",
        "link = zeroblob(31)",
    ] {
        let found = edited(&format!("UPDATE audit SET {set} WHERE seq = 5")).await;
        assert_eq!(found, Err(Flaw::Altered(5)), "{set}");
    }
}

#[tokio::test]
async fn removed_inserted_and_swapped_records_are_found() {
    assert_eq!(edited("DELETE FROM audit WHERE seq = 5").await, Err(Flaw::Missing(5, 5)));
    assert_eq!(edited("DELETE FROM audit WHERE seq BETWEEN 1 AND 4").await, Err(Flaw::Missing(1, 4)));
    assert_eq!(edited("DELETE FROM audit WHERE seq > 15").await, Err(Flaw::Truncated(15, 20)));
    assert_eq!(edited("DELETE FROM audit").await, Err(Flaw::Truncated(0, 20)));
    let swap = "UPDATE audit SET seq = 1000 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5;
        UPDATE audit SET seq = 5 WHERE seq = 1000;";
    assert_eq!(edited(swap).await, Err(Flaw::OutOfPlace(4, 5)));
    let copy =
        "INSERT INTO audit SELECT 0, at, actor, user, role, address, break_glass, action, object, patient,
        reason, outcome, link FROM audit WHERE seq = 5;";
    assert_eq!(edited(copy).await, Err(Flaw::Inserted(0)));
    let shifted = "UPDATE audit SET seq = seq + 1000 WHERE seq >= 5; UPDATE audit SET seq = seq - 999 WHERE seq > 1000;
        INSERT INTO audit SELECT 5, at, actor, user, role, address, break_glass, action, object, patient, reason,
        outcome, link FROM audit WHERE seq = 2;";
    assert_eq!(edited(shifted).await, Err(Flaw::OutOfPlace(5, 6)));
    assert_eq!(edited("UPDATE audit SET seq = 21 WHERE seq = 5").await, Err(Flaw::Missing(5, 5)));
}

/// Whoever edits a record and makes every link after it anew has a whole chain, but not the key.
#[tokio::test]
async fn a_trail_that_was_rewritten_is_found_by_its_checkpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    trail(folder.path()).await;
    let rows = TrailReader::open(folder.path()).expect("opened").after(i64::MIN, 100).expect("read");
    let conn = Connection::open(folder.path().join("healthmate.db")).expect("a database");
    conn.execute_batch("DROP TRIGGER audit_never_updated").expect("free to edit");
    let mut previous = rows[3].entry.clone().expect("a record").link;
    for row in &rows[4..] {
        let entry = row.entry.clone().expect("a record");
        let mut record = entry.record;
        if entry.seq == 5 {
            record = record.reason("care_team");
            conn.execute_batch("UPDATE audit SET reason = 'care_team' WHERE seq = 5").expect("edited");
        }
        previous = link(&previous, entry.seq, &record);
        let set = "UPDATE audit SET link = ?2 WHERE seq = ?1";
        conn.execute(set, rusqlite::params![row.seq, previous]).expect("edited");
    }
    assert_eq!(verify(folder.path()), Err(Flaw::Rewritten(10)));
    // A checkpoint of one's own making has no signature of the key.
    let forged = CheckpointKey::new(&[8; 32]).sign(10, &previous, Timestamp::from_micros(1));
    conn.execute_batch("DROP TRIGGER audit_checkpoint_never_updated").expect("free to edit");
    let set = "UPDATE audit_checkpoint SET link = ?1, key = ?2, signature = ?3 WHERE seq = 10";
    conn.execute(set, [&forged.link, &forged.key, &forged.signature]).expect("edited");
    assert_eq!(verify(folder.path()), Err(Flaw::Forged(10)));
}
