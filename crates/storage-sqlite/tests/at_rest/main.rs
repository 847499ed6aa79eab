//! What the file holds: nothing that people wrote, and what happens to it when keys change.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

mod first_start;
mod keys;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use healthmate_care::{
    AuditAction, BreakGlass, By, Clock, Measurement, Metric, Role, SignInMethod, SystemClock, TokenScope,
    User,
};
use healthmate_protocol::{
    ClientId, NotificationId, NotificationKind, Offset, Priority, Timestamp, Topic, TopicKind, UserId,
};
use healthmate_storage::seal::{KEY_RING_FILE, KeySource, SealedColumn};
use healthmate_storage::{
    ApiToken, AuditTrail, BreakGlasses, Credentials, Directory, Erasure, EventLog, Idempotency,
    MeasurementQuery, Measurements, NewNotification, NewSignIn, NotificationQuery, Notifications, Opened,
    Opening, Passkey, Recording, SignIn,
};
use healthmate_storage_sqlite::{KeysError, OpenError, Options, SqliteStore};
use uuid::Uuid;

const NAME: &str = "Zacharias Markerstein";

const DEVICE: &str = "Grandmother's markercuff";

const LABEL: &str = "Markertablet on ward 3";

const TOKEN: &str = "Markerwatch of Anna";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

fn open(dir: &Path, exclusive: bool) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::open(dir, &Options { exclusive, ..Options::default() }, clock())
}

fn by() -> By {
    By::command_line(clock().now())
}

fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

async fn add(store: &SqliteStore, user: &str, name: &str) {
    let user =
        User { id: id(user), role: Role::Patient, name: name.to_owned(), device_of: None, active: true };
    store.add_user(user, by()).await.expect("added");
}

async fn record(store: &SqliteStore, patient: &str, count: usize) {
    let measurement = Measurement {
        metric: Metric::HeartRate,
        value: 71.0,
        taken_at: clock().now(),
        client_id: None,
        device: Some(DEVICE.to_owned()),
        original: None,
    };
    let measurements = vec![measurement; count];
    let recording =
        Recording { patient: id(patient), author: id(patient), measurements, idempotency: None, audit: None };
    store.record(recording).await.expect("recorded");
}

/// Whether any file of the folder holds this text.
fn holds(dir: &Path, text: &str) -> bool {
    let files = fs::read_dir(dir).expect("listed").map(|file| file.expect("a file").path());
    files.filter(|path| path.is_file()).any(|path| {
        let bytes = fs::read(path).expect("read");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// What users read: the name, and the device in history and log.
async fn shown(store: &SqliteStore, patient: &str) -> (String, Option<String>, bool) {
    let user = store.user(&id(patient)).await.expect("read").expect("there");
    let (metric, from, to, after) = (None, None, None, None);
    let query = MeasurementQuery { patient: id(patient), metric, from, to, limit: 10, after };
    let page = store.measurements(query).await.expect("read");
    let events = store.read_after(&Topic::health(id(patient)), Offset(0), 10).await.expect("read");
    let in_log = events[0].payload.get().contains(DEVICE);
    (user.name, page.measurements[0].data.device.clone(), in_log)
}

fn expected() -> (String, Option<String>, bool) {
    (NAME.to_owned(), Some(DEVICE.to_owned()), true)
}

#[tokio::test]
async fn no_file_holds_what_people_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", NAME).await;
    record(&store, "anna", 3).await;
    assert_eq!(shown(&store, "anna").await, expected());
    for marker in [NAME, DEVICE] {
        assert!(!holds(folder.path(), marker), "{marker} while it serves");
    }
    drop(store);
    assert!(!holds(folder.path(), NAME) && !holds(folder.path(), DEVICE), "and when it is closed");
    assert!(holds(folder.path(), "anna"), "the test would notice");
    let store = open(folder.path(), true).expect("opened again");
    assert_eq!(shown(&store, "anna").await, expected());
}

#[test]
fn each_column_that_is_sealed_is_one_of_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path(), true).expect("opened"));
    let conn = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("opened");
    let mut columns = BTreeSet::new();
    for column in SealedColumn::ALL {
        let sql = "SELECT type FROM pragma_table_info(?1) WHERE name = ?2";
        let kind = conn.query_row(sql, [column.table(), column.column()], |row| row.get::<_, String>(0));
        assert_eq!(kind.as_deref(), Ok("BLOB"), "{column:?}");
        columns.insert((column.table(), column.column()));
    }
    assert_eq!(columns.len(), SealedColumn::ALL.len());
}

/// What is written now; and whoever gives a row to somebody else in the file has one that nobody can read.
async fn labels_are_read(store: &SqliteStore) {
    let sign_ins = store.sign_ins(&id("anna")).await.expect("read");
    let labels: Vec<_> = sign_ins.iter().map(|sign_in| sign_in.label.as_deref()).collect();
    assert_eq!(labels, [Some(LABEL), None]);
    let tokens = store.api_tokens(&id("anna")).await.expect("read");
    let found = store.api_token(tokens[0].id).await.expect("read").expect("there");
    assert_eq!((tokens[0].name.as_str(), found.0.name.as_str()), (TOKEN, TOKEN));
}

#[tokio::test]
async fn no_file_holds_the_label_of_a_sign_in_or_the_name_of_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", "Anna").await;
    add(&store, "nora", "Nora").await;
    let (at, id_of) = (Timestamp::from_micros(5), |n| Uuid::from_u128(n));
    let sign_in = |n: u128, label: Option<&str>| SignIn {
        id: id_of(n),
        user: id("anna"),
        method: SignInMethod::Password,
        label: label.map(str::to_owned),
        address: None,
        created_at: Timestamp::from_micros(10 - n as i64),
        last_used_at: at,
        expires_at: at.plus_millis(100_000),
    };
    for sign_in in [sign_in(1, Some(LABEL)), sign_in(2, None)] {
        let new = NewSignIn { sign_in, verified: None, family: [7; 32], current: [1; 32] };
        store.add_sign_in(new, by()).await.expect("added");
    }
    let token = ApiToken {
        id: id_of(3),
        user: id("anna"),
        name: TOKEN.to_owned(),
        scopes: [TokenScope::ReadMeasurements].into_iter().collect(),
        created_at: at,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    store.add_api_token(token, [9; 32], by()).await.expect("added");
    labels_are_read(&store).await;
    assert!(!holds(folder.path(), LABEL) && !holds(folder.path(), TOKEN), "while it serves");
    drop(store);
    assert!(!holds(folder.path(), LABEL) && !holds(folder.path(), TOKEN), "and when it is closed");
    let store = open(folder.path(), true).expect("opened again");
    labels_are_read(&store).await;
    let conn = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("opened");
    conn.execute_batch("UPDATE sign_in SET user = 'nora'; UPDATE api_token SET user = 'nora'")
        .expect("edited");
    assert!(store.sign_ins(&id("nora")).await.is_err(), "a label opens for its user only");
    assert!(store.api_token(id_of(3)).await.is_err(), "and so does a name");
}

#[tokio::test]
async fn no_file_holds_anything_of_an_erased_patient() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", NAME).await;
    add(&store, "nora", "Nora").await;
    let marked = |n: i64| Measurement {
        metric: Metric::HeartRate,
        value: 71.0,
        taken_at: clock().now().plus_millis(n),
        client_id: Some(ClientId::new(&format!("marker-{n}")).expect("valid")),
        device: Some(DEVICE.to_owned()),
        original: None,
    };
    for batch in 0..6 {
        let measurements = (batch * 500..(batch + 1) * 500).map(marked).collect();
        let idempotency = Some(Idempotency { key: format!("marker-key-{batch}"), digest: [7; 32] });
        let recording =
            Recording { patient: id("anna"), author: id("anna"), measurements, idempotency, audit: None };
        store.record(recording).await.expect("recorded");
    }
    record(&store, "nora", 1).await;
    assert!(holds(folder.path(), "marker-"), "the test would notice");
    let erased = store.erase(&id("anna"), by()).await.expect("erased");
    for (what, rows) in
        [("measurement", 3000), ("event", 3000), ("idempotency", 6), ("device", 1), ("data_key", 1)]
    {
        assert!(erased.rows.contains(&(what, rows)), "{what} {:?}", erased.rows);
    }
    assert!(!holds(folder.path(), "marker-"), "while it serves");
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
    assert_eq!(store.user(&id("nora")).await.expect("read").expect("there").name, "Nora");
    drop(store);
    assert!(!holds(folder.path(), "marker-"), "and when it is closed");
}

/// What users are told, and why a patient was opened: in the row, in the log, and in the journal.
#[tokio::test]
async fn no_file_holds_what_users_were_told_and_why_a_patient_was_opened() {
    const WHY: &str = "found unconscious by her neighbour";
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", NAME).await;
    let at = Timestamp::from_micros(1_000_000);
    let access = BreakGlass {
        id: Uuid::nil(),
        patient: id("anna"),
        member: id("anna"),
        starts_at: at,
        ends_at: at.plus_millis(9),
    };
    let told = NewNotification {
        id: NotificationId::new("1").expect("valid"),
        user: id("anna"),
        kind: NotificationKind::BreakGlass,
        priority: Priority::Urgent,
        title: "opened".to_owned(),
        body: WHY.to_owned(),
        patient: None,
        expires_at: None,
    };
    let (reason, notifications) = (WHY.to_owned(), vec![told]);
    let opening = Opening { access, reason, notifications, at_once: 1, per_day: 1, day_began: at };
    assert_eq!(store.break_glass(opening, By::command_line(at)).await, Ok(Opened::Yes));
    let shown = async |store: &SqliteStore| {
        let topic = Topic::new(TopicKind::Notifications, id("anna"));
        let events = store.read_after(&topic, Offset(0), 10).await.expect("read");
        let query = NotificationQuery { user: id("anna"), limit: 10, before: None };
        let page = store.notifications(query).await.expect("read");
        let opened = store.break_glasses_of(&id("anna"), 10).await.expect("read");
        assert!(events[0].payload.get().contains(WHY));
        assert_eq!((page.notifications[0].data.body.as_str(), opened[0].reason.as_str()), (WHY, WHY));
    };
    shown(&store).await;
    assert!(!holds(folder.path(), WHY), "while it serves");
    drop(store);
    assert!(!holds(folder.path(), WHY), "and when it is closed");
    shown(&open(folder.path(), true).expect("opened again")).await;
}

/// What people call a passkey; and whoever gives it to somebody else in the file has a row that nobody can read.
#[tokio::test]
async fn no_file_holds_the_name_of_a_passkey() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", "Anna").await;
    add(&store, "nora", "Nora").await;
    let passkey = Passkey {
        credential: vec![7; 16],
        user: id("anna"),
        name: NAME.to_owned(),
        algorithm: -7,
        public_key: vec![4; 65],
        counter: 0,
        created_at: clock().now(),
        last_used_at: None,
    };
    store.add_passkey(passkey.clone(), by()).await.expect("added");
    assert!(!holds(folder.path(), NAME), "while it serves");
    drop(store);
    assert!(!holds(folder.path(), NAME), "and when it is closed");
    let store = open(folder.path(), true).expect("opened again");
    assert_eq!(store.passkey(&[7; 16]).await, Ok(Some(passkey.clone())));
    assert_eq!(store.passkeys(&id("anna")).await, Ok(vec![passkey]));
    let conn = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("opened");
    conn.execute("UPDATE passkey SET user = 'nora'", []).expect("edited");
    assert!(store.passkey(&[7; 16]).await.is_err(), "its name opens for its user only");
}
