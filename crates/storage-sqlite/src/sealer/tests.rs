//! Keys in memory while their owner is erased: nobody seals, opens or hands out anything with them afterwards.

use std::sync::Arc;
use std::sync::mpsc;

use healthmate_care::{By, ManualClock, Role, User};
use healthmate_protocol::{Timestamp, Topic, UserId};
use healthmate_storage::{Directory, Erasure, EventLog, Measurements, Recording};
use tempfile::TempDir;

use super::*;
use crate::writer::tests::{patient, recording, start};
use crate::{Options, SqliteStore};

const NAME: &str = "Pat Marker";

fn by() -> By {
    By::command_line(Timestamp::from_micros(0))
}

fn open(folder: &TempDir, exclusive: bool) -> Arc<SqliteStore> {
    let options = Options { exclusive, ..Options::default() };
    SqliteStore::open(folder.path(), &options, Arc::new(ManualClock::new(start()))).expect("opened")
}

async fn add(store: &SqliteStore, id: &UserId) {
    let user = User { id: id.clone(), role: Role::Patient, name: NAME.into(), device_of: None, active: true };
    store.add_user(user, by()).await.expect("added");
}

async fn is_erased(store: &SqliteStore) {
    while store.user(&patient()).await.expect("read").is_some() {
        tokio::task::yield_now().await;
    }
}

/// How many keys the store has in memory.
fn kept(store: &SqliteStore) -> usize {
    store.shared.sealer.kept.lock().keys.len()
}

/// Where a reader stands when the erasure commits.
#[derive(Clone, Copy, Debug)]
enum Holding {
    /// It has opened the name.
    Text,
    /// It has the sealed row, in a transaction of before, and opens it afterwards: there, the key is still to be found.
    Row,
}

/// Reads the patient's name, and tells and waits in between.
fn read_slowly(
    conn: &Connection,
    sealer: &Sealer,
    holding: Holding,
    wait: impl Fn(),
) -> Result<Option<String>, Failure> {
    let patient = patient();
    let mut statement = conn.prepare("SELECT name FROM user WHERE id = ?1 AND name IS NOT NULL")?;
    let mut rows = statement.query([patient.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    let name = || {
        let row = patient.as_str().as_bytes();
        sealer.open(conn, &patient, SealedColumn::UserName, row, bytes)
    };
    let opened = match holding {
        Holding::Text => {
            let name = name()?;
            wait();
            name
        }
        Holding::Row => {
            wait();
            name()?
        }
    };
    Ok(Some(opened))
}

#[tokio::test]
async fn what_was_read_when_an_erasure_committed_goes_to_nobody() {
    for holding in [Holding::Text, Holding::Row] {
        for beside in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = open(&folder, true);
            add(&store, &patient()).await;
            // The erasure is the store's own, or of another process.
            let eraser = if beside { open(&folder, false) } else { Arc::clone(&store) };
            assert_eq!(store.user(&patient()).await.expect("read").expect("there").name, NAME);
            let ((reads, reading), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
            let reader = Arc::clone(&store);
            let read = tokio::spawn(async move {
                let wait = move || {
                    // Only the first time does anybody listen.
                    let _ = reads.send(());
                    let _ = released.recv();
                };
                reader.read(move |conn, sealer| read_slowly(conn, sealer, holding, &wait)).await
            });
            while reading.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            let erasing = tokio::spawn(async move { eraser.erase(&patient(), by()).await });
            is_erased(&store).await;
            drop(release);
            assert_eq!(read.await.expect("no panic"), Ok(None), "{holding:?} {beside}");
            assert_eq!(kept(&store), 0, "{holding:?} {beside}: no key stays in memory");
            erasing.await.expect("no panic").expect("erased");
        }
    }
}

/// Another process erases: the writer here has the key in memory, and what it writes is asked of the database.
#[tokio::test]
async fn nothing_is_sealed_with_a_key_that_was_destroyed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, true);
    add(&store, &patient()).await;
    let seal = async |store: &SqliteStore| {
        let seal = |group: &mut crate::writer::group::Group<'_>| {
            group.sealer.seal(group.conn, &patient(), SealedColumn::DeviceName, b"row", NAME)
        };
        store.writer.write(1, seal).await
    };
    assert!(seal(&store).await.is_ok());
    assert_eq!(kept(&store), 1);
    open(&folder, false).erase(&patient(), by()).await.expect("erased");
    assert_eq!(kept(&store), 1, "nobody has told this store yet");
    assert_eq!(seal(&store).await, Err(Error::NotFound("user")));
    assert_eq!(kept(&store), 0);
}

/// One commit for measurements and the erasure that follows them: they are acknowledged, and told to nobody.
#[tokio::test]
async fn what_one_commit_brought_of_an_erased_patient_is_told_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, true);
    add(&store, &patient()).await;
    let other = UserId::new("q").expect("valid");
    add(&store, &other).await;
    let of = |id: &UserId| Recording { patient: id.clone(), author: id.clone(), ..recording(&[61.0]) };
    // The writer is held inside the listener, so that what is sent meanwhile becomes one group.
    let ((held, holds), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let released = Mutex::new(released);
    store.set_commit_listener(Arc::new(move |_| {
        let _ = held.send(());
        let _ = released.lock().recv();
    }));
    store.record(of(&other)).await.expect("stored");
    holds.recv().expect("the listener is called");
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    store.set_commit_listener(Arc::new(move |events| {
        heard.lock().extend(events.iter().map(|event| event.topic.clone()));
    }));
    let recorded = [patient(), other.clone()].map(|id| {
        let (store, recording) = (Arc::clone(&store), of(&id));
        tokio::spawn(async move { store.record(recording).await })
    });
    let erasing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.erase(&patient(), by()).await })
    };
    // On one thread, every task that was spawned has sent before this one goes on.
    tokio::task::yield_now().await;
    release.send(()).expect("the listener waits");
    for recorded in recorded {
        assert_eq!(recorded.await.expect("no panic").expect("stored").len(), 1);
    }
    erasing.await.expect("no panic").expect("erased");
    assert_eq!(*told.lock(), [Topic::health(other)]);
}
