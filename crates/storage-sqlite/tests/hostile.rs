//! Rows that somebody edited into nonsense: an error each, never a panic, and the store goes on.
#![expect(clippy::expect_used, reason = "a test says what it expects")]

use std::path::Path;
use std::sync::Arc;

use healthmate_care::{By, Role, SystemClock, User};
use healthmate_protocol::{Offset, Timestamp, Topic, UserId};
use healthmate_storage::{Directory, EventLog, Measurements};
use healthmate_storage_sqlite::{Options, SqliteStore};
use rusqlite::Connection;

fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

fn open(folder: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(folder, &Options::default(), Arc::new(SystemClock::default())).expect("a store")
}

fn edit(folder: &Path, sql: &str) {
    let conn = Connection::open(folder.join("healthmate.db")).expect("opened");
    conn.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;").expect("set");
    conn.execute_batch(sql).expect("edited");
}

async fn add(store: &SqliteStore, name: &str) {
    let user =
        User { id: id(name), role: Role::Patient, name: name.to_owned(), device_of: None, active: true };
    store.add_user(user, By::command_line(Timestamp::from_micros(0))).await.expect("added");
}

#[tokio::test]
async fn a_user_who_makes_no_sense_is_an_error() {
    for nonsense in [
        "UPDATE user SET role = 'emperor' WHERE id = 'ana'",
        "UPDATE user SET role = '' WHERE id = 'ana'",
        "UPDATE user SET active = 7, role = 'x' WHERE id = 'ana'",
        "UPDATE user SET device_of = 'not an id' WHERE id = 'ana'",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        add(&store, "ana").await;
        add(&store, "ben").await;
        edit(folder.path(), nonsense);
        assert!(store.user(&id("ana")).await.is_err(), "{nonsense}");
        assert!(store.user(&id("ben")).await.expect("readable").is_some(), "{nonsense}: others are served");
    }
}

#[tokio::test]
async fn a_log_that_makes_no_sense_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    add(&store, "ana").await;
    edit(
        folder.path(),
        "INSERT INTO topic (key, name, head, oldest, oldest_at) VALUES (71, 'health:ana', 2, 1, 1);
         INSERT INTO event (topic, offset, kind, recorded_at, payload) VALUES (71, 1, 99, 1, '{'), (71, 2, -1, 1, '');
         INSERT INTO measurement (patient, taken_at, offset, metric, value, recorded_at, author)
             SELECT key, 9223372036854775807, 1, 99, 1e308, 1, key FROM user WHERE id = 'ana';",
    );
    let topic = Topic::health(id("ana"));
    assert!(store.read_after(&topic, Offset::START, 10).await.is_err(), "kinds of events that nobody knows");
    assert_eq!(
        store.newest(&id("ana")).await,
        Ok(Vec::new()),
        "a metric that nobody knows is nobody's newest"
    );
    add(&store, "cleo").await;
    assert!(store.user(&id("cleo")).await.expect("readable").is_some(), "the writer goes on");
}
