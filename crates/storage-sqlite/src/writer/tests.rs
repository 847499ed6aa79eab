//! Groups: one command's trouble is its own, a full disk harms nothing, and no head is ahead of the disk.

use std::sync::Arc;

use healthmate_care::{AuditRecord, By, ManualClock, Measurement, Metric, Role, User};
use healthmate_protocol::{ClientId, Offset, Timestamp, Topic, UserId};
use healthmate_storage::{AuditTrail, Directory, Error, EventLog, Measurements, Probe, Recording};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::writer::group::Group;
use crate::{Options, SqliteStore};

pub(crate) fn start() -> Timestamp {
    "2026-11-23T07:00:00Z".parse().expect("valid")
}

fn by() -> By {
    By::command_line(start())
}

pub(crate) fn patient() -> UserId {
    UserId::new("p").expect("valid")
}

pub(crate) fn recording(values: &[f64]) -> Recording {
    let measurement = |value: &f64| Measurement {
        metric: Metric::HeartRate,
        value: *value,
        taken_at: start(),
        client_id: None,
        device: None,
        original: None,
    };
    let measurements = values.iter().map(measurement).collect();
    Recording { patient: patient(), author: patient(), measurements, idempotency: None, audit: None }
}

async fn open(folder: &TempDir, options: Options) -> Arc<SqliteStore> {
    let store =
        SqliteStore::open(folder.path(), &options, Arc::new(ManualClock::new(start()))).expect("opened");
    let user = User { id: patient(), role: Role::Patient, name: "P".into(), device_of: None, active: true };
    match store.add_user(user, by()).await {
        Ok(()) | Err(Error::Exists("user")) => store,
        Err(error) => panic!("{error}"),
    }
}

/// Holds the writer inside a commit listener, so that what is sent meanwhile becomes one group.
async fn one_group(store: &Arc<SqliteStore>, recordings: Vec<Recording>) -> Vec<Result<Vec<u64>, Error>> {
    let (held, holds) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let released = parking_lot::Mutex::new(released);
    store.set_commit_listener(Arc::new(move |_| {
        let _ = held.send(());
        let _ = released.lock().recv();
    }));
    store.record(recording(&[1.0])).await.expect("stored");
    holds.recv().expect("the listener is called");
    store.set_commit_listener(Arc::new(|_| {}));
    let sends = recordings.into_iter().map(|recording| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.record(recording).await })
    });
    let sends: Vec<_> = sends.collect();
    // On one thread, every task that was spawned has sent before this one goes on.
    tokio::task::yield_now().await;
    release.send(()).expect("the listener waits");
    let mut answers = Vec::new();
    for send in sends {
        let receipts = send.await.expect("no panic");
        answers.push(receipts.map(|receipts| receipts.iter().map(|receipt| receipt.offset.0).collect()));
    }
    answers
}

/// NaN is NULL to SQLite, which the schema refuses, after the first row of its command was written.
#[tokio::test]
async fn a_command_that_breaks_a_constraint_harms_no_other_of_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, Options::default()).await;
    let stranger = Recording { author: UserId::new("nobody").expect("valid"), ..recording(&[2.0]) };
    let group = vec![recording(&[2.0, 3.0]), recording(&[4.0, f64::NAN]), stranger, recording(&[5.0])];
    let answers = one_group(&store, group).await;
    assert_eq!(answers[0], Ok(vec![2, 3]));
    assert!(matches!(answers[1], Err(Error::Unavailable(_))), "{:?}", answers[1]);
    assert_eq!(answers[2], Err(Error::NotFound("user")));
    assert_eq!(answers[3], Ok(vec![4]));
    assert_eq!(store.range(&Topic::health(patient())).await.expect("read").head, Offset(4));
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_listener_that_panics_does_not_stop_the_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, Options::default()).await;
    store.set_commit_listener(Arc::new(|_| panic!("a listener's own trouble")));
    for offset in 1..=3 {
        let receipts = store.record(recording(&[60.0])).await.expect("stored");
        assert_eq!(receipts[0].offset, Offset(offset));
    }
}

/// Also beside others, in the middle of what it writes.
#[tokio::test]
async fn a_command_that_panics_harms_no_other_and_the_next_one_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, Options::default()).await;
    let panics = |group: &mut Group<'_>| -> Result<(), Failure> {
        group.audit(&AuditRecord::user_switched(by(), &patient(), true))?;
        panic!("as it must")
    };
    let before = store.audit_head().await;
    let (one, panicked, other) = tokio::join!(
        store.record(recording(&[1.0])),
        store.writer.write(1, panics),
        store.record(recording(&[2.0, 3.0])),
    );
    assert!(matches!(panicked, Err(Error::Unavailable(_))), "{panicked:?}");
    let offsets = [one, other].map(|receipts| receipts.expect("stored")[0].offset);
    assert_eq!(offsets, [Offset(1), Offset(2)]);
    assert_eq!(store.audit_head().await, before, "what it wrote is undone");
    store.audit(vec![AuditRecord::user_switched(by(), &patient(), false)]).await.expect("recorded");
    let seq = |head: Result<Option<(u64, _)>, _>| head.expect("read").map_or(0, |(seq, _)| seq);
    assert_eq!(seq(store.audit_head().await), seq(before) + 1, "the trail has no hole");
    let receipts = store.record(recording(&[4.0])).await.expect("stored");
    assert_eq!(receipts[0].offset, Offset(4));
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
}

/// Records until there is no room for `batch`, and says how many measurements there was room for.
async fn fill(store: &SqliteStore, batch: &Recording) -> u64 {
    let mut acknowledged = 0;
    let full = loop {
        match store.record(batch.clone()).await {
            Ok(receipts) => acknowledged = receipts.last().expect("one each").offset.0,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the disk does not fill");
    };
    assert_eq!(full, Error::Full);
    acknowledged
}

/// `max_page_count` gives SQLite's own answer to a full disk.
#[tokio::test]
async fn a_full_disk_is_said_and_harms_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Options { max_pages: Some(120), ..Options::default() };
    let store = open(&folder, small).await;
    let batch = recording(&[60.0; 50]);
    let acknowledged = fill(&store, &batch).await;
    assert!(acknowledged > 0);
    let topic = Topic::health(patient());
    let head = |store: &Arc<SqliteStore>| {
        let (store, topic) = (Arc::clone(store), topic.clone());
        async move { store.range(&topic).await.expect("read").head.0 }
    };
    assert_eq!(head(&store).await, acknowledged);
    assert_eq!(store.record(batch.clone()).await, Err(Error::Full), "still full, and still answering");
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
    // Room returns.
    assert!(store.trim(start().plus_millis(1), 100).await.expect("trimmed") > 0);
    let receipts = store.record(batch).await.expect("stored again");
    assert_eq!(receipts[0].offset.0, acknowledged + 1, "no offset was used up");
    drop(store);
    let store = open(&folder, Options::default()).await;
    assert_eq!(head(&store).await, acknowledged + 50);
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
}

/// A page that is there can be written on a full disk: that is no sign that measurements can be stored.
#[tokio::test]
async fn a_store_that_was_full_is_writable_when_there_is_real_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Options { max_pages: Some(400), ..Options::default() };
    let store = open(&folder, small).await;
    store.check_writable().await.expect("writable");
    fill(&store, &recording(&[60.0; 50])).await;
    assert_eq!(store.check_writable().await, Err(Error::Full));
    // What fits is not harmed by a probe beside it, and does not mean that there is room.
    let beside = tokio::join!(store.renew_epoch(), store.check_writable(), store.renew_epoch());
    assert!(beside.0.is_ok() && beside.2.is_ok(), "{beside:?}");
    assert_eq!(beside.1, Err(Error::Full));
    let all = start().plus_millis(1);
    assert_eq!(store.trim(all, 50).await, Ok(50));
    assert_eq!(store.check_writable().await, Err(Error::Full), "room for 50 events is not enough");
    assert!(store.trim(all, 100_000).await.expect("trimmed") > 0);
    store.check_writable().await.expect("writable again");
    store.record(recording(&[60.0; 50])).await.expect("stored again");
    // It fills again, and the probe left nothing behind.
    fill(&store, &recording(&[60.0; 50])).await;
    assert_eq!(store.check_writable().await, Err(Error::Full));
    drop(store);
    let file = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("there");
    let left: i64 = file.query_row("SELECT count(*) FROM room", [], |row| row.get(0)).expect("read");
    assert_eq!(left, 0);
}

/// Also in the batch that stores the first, and after a reopening, when the writer remembers nothing.
#[tokio::test]
async fn a_duplicate_with_another_device_leaves_no_device_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let devices = || {
        let file = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("there");
        file.query_row("SELECT count(*) FROM device", [], |row| row.get::<_, i64>(0)).expect("read")
    };
    let worded = |devices: &[&str]| {
        let mut recording = recording(&vec![60.0; devices.len()]);
        for (measurement, device) in recording.measurements.iter_mut().zip(devices) {
            measurement.client_id = Some(ClientId::new("a").expect("valid"));
            measurement.device = Some((*device).to_owned());
        }
        recording
    };
    let mut store = open(&folder, Options::default()).await;
    for batch in [&["a cuff", "another"][..], &["another", "a cuff", "a third"]] {
        store.record(worded(batch)).await.expect("stored");
        assert_eq!(devices(), 1, "{batch:?}");
        drop(store);
        store = open(&folder, Options::default()).await;
    }
    let mut fresh = worded(&["another"]);
    fresh.measurements[0].client_id = None;
    store.record(fresh).await.expect("stored");
    assert_eq!(devices(), 2);
}

/// What was sent before the store was dropped is written, though nobody waits for it.
#[tokio::test]
async fn dropping_the_store_finishes_what_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, Options::default()).await;
    for n in 0..20 {
        let mut recording = recording(&[60.0]);
        recording.measurements[0].client_id = Some(ClientId::new(&n.to_string()).expect("valid"));
        let mut send = store.record(recording);
        // Sent with the first poll; then the caller goes away.
        tokio::select! { biased; _ = &mut send => {}, () = std::future::ready(()) => {} }
    }
    drop(store);
    let store = open(&folder, Options::default()).await;
    assert_eq!(store.range(&Topic::health(patient())).await.expect("read").head, Offset(20));
}
