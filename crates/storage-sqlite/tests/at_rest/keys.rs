//! The key ring: rotating it while the server serves, and starting without it.

use super::*;

#[tokio::test]
async fn keys_are_rotated_while_the_server_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = open(folder.path(), true).expect("opened");
    for user in 0..300 {
        add(&server, &format!("p{user}"), NAME).await;
    }
    record(&server, "p7", 1).await;
    let command = open(folder.path(), false).expect("opened beside it");
    let before = command.keys().await.expect("read").remove(0);
    assert!(before.active && before.data_keys == 300);
    assert!(matches!(command.retire_key(&before.id, by()).await, Err(KeysError::Ring(_))), "it is active");
    let rotation = command.rotate_keys(by()).await.expect("rotated");
    assert_eq!((rotation.rewrapped, rotation.resumed), (300, false));
    // The server has the old ring: it meets the new key, and reads the ring again.
    add(&server, "after", NAME).await;
    assert_eq!(shown(&server, "p7").await, expected());
    let keys = command.keys().await.expect("read");
    assert_eq!(keys.iter().map(|key| key.data_keys).collect::<Vec<_>>(), [0, 301]);
    command.retire_key(&before.id, by()).await.expect("retired");
    assert_eq!(command.keys().await.expect("read").len(), 1);
    let trail = server.audit_after(0, 1000).await.expect("read");
    let rotated: Vec<_> =
        trail.iter().filter(|entry| entry.record.action == AuditAction::KeysRotated).collect();
    assert_eq!(rotated.len(), 1);
    assert_eq!(rotated[0].record.object, Some(format!("key:{}", rotation.active)));
    let retired: Vec<_> =
        trail.iter().filter(|entry| entry.record.action == AuditAction::KeyRetired).collect();
    assert_eq!(retired.len(), 1, "and not when it was refused");
    assert_eq!(retired[0].record.object, Some(format!("key:{}", before.id)));
    drop((server, command));
    let server = open(folder.path(), true).expect("opened again");
    assert_eq!(shown(&server, "p7").await, expected());
}

/// Between any two of its steps a rotation may end: each state it passes through is opened and read.
#[tokio::test]
async fn a_rotation_that_was_stopped_is_finished_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", NAME).await;
    record(&store, "anna", 1).await;
    let old = store.keys().await.expect("read").remove(0).id;
    drop(store);
    // Stopped after the ring was written, before the database knew of it.
    let source = KeySource::File(folder.path().join(KEY_RING_FILE));
    let mut ring = source.read().expect("read").expect("there");
    ring.add(clock().as_ref());
    source.replace(&ring, clock().as_ref()).expect("written");
    let store = open(folder.path(), true).expect("opened");
    assert_eq!(shown(&store, "anna").await, expected());
    // Now the new key is active, and the old one still wraps: as after a stop in the middle of the re-wrapping.
    add(&store, "nora", "Nora").await;
    let counts: Vec<u64> = store.keys().await.expect("read").iter().map(|key| key.data_keys).collect();
    assert_eq!(counts, [1, 1]);
    assert!(matches!(store.retire_key(&old, by()).await, Err(KeysError::Wraps { data_keys: 1, .. })));
    let rotation = store.rotate_keys(by()).await.expect("finished");
    assert_eq!((rotation.rewrapped, rotation.resumed, &rotation.active), (1, true, ring.active()));
    store.retire_key(&old, by()).await.expect("retired");
    assert_eq!(shown(&store, "anna").await, expected());
}

/// A retirement that was stopped after the key had left the ring, before the database forgot it, is finished and put on
/// record at the next start; a key that is still in the ring is not touched.
#[tokio::test]
async fn a_retirement_that_was_stopped_is_finished_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let known = || {
        let conn = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("opened");
        conn.query_row("SELECT count(*) FROM ring_key", [], |row| row.get::<_, i64>(0)).expect("read")
    };
    let retired = async |store: &SqliteStore| {
        let trail = store.audit_after(0, 100).await.expect("read");
        let of = trail.into_iter().filter(|entry| entry.record.action == AuditAction::KeyRetired);
        of.map(|entry| entry.record.object.expect("a key")).collect::<Vec<_>>()
    };
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", NAME).await;
    record(&store, "anna", 1).await;
    let old = store.keys().await.expect("read").remove(0).id;
    store.rotate_keys(by()).await.expect("rotated");
    drop(store);
    drop(open(folder.path(), true).expect("opened"));
    assert_eq!(known(), 2, "it is in the ring");
    let source = KeySource::File(folder.path().join(KEY_RING_FILE));
    let mut ring = source.read().expect("read").expect("there");
    ring.remove(&old).expect("it is not the active one");
    source.replace(&ring, clock().as_ref()).expect("written");
    for _ in 0..2 {
        let store = open(folder.path(), true).expect("opened");
        assert_eq!((known(), retired(&store).await), (1, vec![format!("key:{old}")]));
        assert_eq!(shown(&store, "anna").await, expected());
    }
}

#[test]
fn a_wrong_or_missing_key_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let ring = folder.path().join(KEY_RING_FILE);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = open(folder.path(), true).expect("opened");
    runtime.block_on(add(&store, "anna", NAME));
    drop(store);
    let text = fs::read_to_string(&ring).expect("read");
    fs::remove_file(&ring).expect("removed");
    let error = open(folder.path(), true).expect_err("refused").to_string();
    assert!(
        error.contains("lacks a key that the database is sealed with") && error.contains("backup"),
        "{error}"
    );
    assert!(!ring.exists(), "no other ring is made in its place");
    KeySource::File(ring.clone()).create(clock().as_ref()).expect("another ring");
    let error = open(folder.path(), true).expect_err("refused").to_string();
    assert!(error.contains("lacks a key"), "{error}");
    let key_at = text.rfind("Z ").expect("a time") + 2;
    let other = format!("{}{}{}", &text[..key_at], "A".repeat(43), &text[key_at + 43..]);
    fs::write(&ring, other).expect("written");
    let error = open(folder.path(), true).expect_err("refused").to_string();
    assert!(error.contains("has another key"), "{error}");
    fs::remove_file(&ring).expect("removed");
    let keys = Some(KeySource::Text(text.into()));
    let options = Options { keys, ..Options::default() };
    assert!(SqliteStore::open(folder.path(), &options, clock()).is_ok(), "the ring may be a setting");
}

/// The ring was rotated by a command, and cannot be read by the server: what it refuses leaves nothing behind, and when the
/// ring is there again, everything goes on.
#[tokio::test]
async fn nothing_half_written_stays_while_the_ring_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = open(folder.path(), true).expect("opened");
    add(&server, "anna", NAME).await;
    let command = open(folder.path(), false).expect("opened beside it");
    command.rotate_keys(by()).await.expect("rotated");
    let (ring, away) = (folder.path().join(KEY_RING_FILE), folder.path().join("away"));
    fs::rename(&ring, &away).expect("moved");

    let beat = |device: Option<&str>| Measurement {
        metric: Metric::HeartRate,
        value: 71.0,
        taken_at: clock().now(),
        client_id: None,
        device: device.map(str::to_owned),
        original: None,
    };
    let recording = Recording {
        patient: id("anna"),
        author: id("anna"),
        measurements: vec![beat(None), beat(Some(DEVICE))],
        idempotency: None,
        audit: None,
    };
    let nora =
        User { id: id("nora"), role: Role::Nurse, name: "Nora".to_owned(), device_of: None, active: true };
    for error in [
        server.record(recording.clone()).await.map(drop).expect_err("the device cannot be sealed"),
        server.add_user(nora.clone(), by()).await.expect_err("the name cannot be sealed"),
    ] {
        assert!(
            matches!(&error, healthmate_storage::Error::Unavailable(why) if why.contains("is gone")),
            "{error}"
        );
    }
    assert_eq!(server.user(&id("nora")).await, Ok(None));

    fs::rename(&away, &ring).expect("moved back");
    let receipts = server.record(recording).await.expect("recorded");
    assert_eq!(receipts.iter().map(|receipt| receipt.offset).collect::<Vec<_>>(), [Offset(1), Offset(2)]);
    server.add_user(nora.clone(), by()).await.expect("added");
    assert_eq!(server.user(&id("nora")).await, Ok(Some(nora)));
}

/// Two commands that rotate at the same moment, each in a process of its own: no key is lost that wraps anything.
#[tokio::test]
async fn two_rotations_at_once_lose_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = open(folder.path(), true).expect("opened");
    for user in 0..20 {
        add(&server, &format!("p{user}"), NAME).await;
    }
    let commands = [(); 2].map(|()| open(folder.path(), false).expect("opened beside it"));
    for _ in 0..10 {
        let (one, other) = tokio::join!(commands[0].rotate_keys(by()), commands[1].rotate_keys(by()));
        one.expect("rotated");
        other.expect("rotated");
    }
    drop((server, commands));
    let server = open(folder.path(), true).expect("opened again");
    assert_eq!(server.users().await.expect("all names open").len(), 20);
}
