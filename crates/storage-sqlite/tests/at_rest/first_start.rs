//! A database of before, with plain text: it is sealed at the first start.

use super::*;

/// A database as the version before wrote it, with plain text, also where it was deleted.
fn plain_database(dir: &Path) {
    fs::create_dir_all(dir).expect("made");
    let conn = rusqlite::Connection::open(dir.join("healthmate.db")).expect("opened");
    let steps = [
        include_str!("../../migrations/0001_measurements_and_log.sql"),
        include_str!("../../migrations/0002_audit.sql"),
        include_str!("../../migrations/0003_credentials.sql"),
        include_str!("../../migrations/0004_care_scopes.sql"),
    ];
    for (step, sql) in (1..).zip(steps) {
        conn.execute_batch(sql).expect("a step");
        conn.pragma_update(None, "user_version", step).expect("set");
    }
    conn.pragma_update(None, "application_id", 0x484D_6462).expect("set");
    let payload =
        format!(r#"{{"patient":"anna","author":"anna","device":"{DEVICE}","flags":["converted"]}}"#);
    conn.execute_batch(&format!(
        "INSERT INTO meta (only_row, epoch) VALUES (1, 'before');
         INSERT INTO user (key, id, role, name) VALUES (1, 'anna', 'patient', '{NAME}'), (2, 'b', 'patient', 'x');
         UPDATE user SET name = 'short' WHERE key = 2;
         INSERT INTO topic (key, name, head, oldest_at) VALUES (1, 'health:anna', 5000, 5);"
    ))
    .expect("written");
    plain_labels(&conn);
    let device = DEVICE.replace('\'', "''");
    let (payload, rows) = (
        payload.replace('\'', "''"),
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 5000)",
    );
    conn.execute_batch(&format!(
        "INSERT INTO measurement (patient, taken_at, offset, metric, value, recorded_at, author, device)
             {rows} SELECT 1, n, n, 1, 70.0, n, 1, '{device}' FROM n;
         INSERT INTO event (topic, offset, kind, recorded_at, payload) {rows} SELECT 1, n, 1, n, '{payload}' FROM n;"
    ))
    .expect("written");
}

/// Sign-ins and an API token of anna, as versions before wrote them.
fn plain_labels(conn: &rusqlite::Connection) {
    conn.execute_batch(&format!(
        "INSERT INTO sign_in (id, user, method, label, created_at, last_used_at, expires_at, family, current, rotated_at)
             VALUES ('{0}1', 'anna', 'password', '{LABEL}', 2, 5, 9, zeroblob(32), zeroblob(32), 5),
                    ('{0}2', 'anna', 'password', NULL, 1, 5, 9, zeroblob(32), zeroblob(32), 5);
         INSERT INTO api_token (id, user, name, scopes, hash, created_at)
             VALUES ('{0}3', 'anna', '{TOKEN}', 'read_measurements', zeroblob(32), 5);",
        "00000000-0000-0000-0000-00000000000"
    ))
    .expect("written");
}

/// A database in which names were sealed, and labels were not.
#[tokio::test]
async fn labels_of_a_database_that_was_sealed_before_are_sealed_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), true).expect("opened");
    add(&store, "anna", NAME).await;
    drop(store);
    let conn = rusqlite::Connection::open(folder.path().join("healthmate.db")).expect("opened");
    conn.execute_batch(
        "DROP INDEX api_token_by_end; ALTER TABLE api_token DROP COLUMN ended_at;
         DROP INDEX notification_by_patient;
         DROP TABLE audit_in_run; DROP TABLE audit_run;
         CREATE TABLE audit_of_patient (patient, seq);
         CREATE TABLE audit_filed AS SELECT 1 AS only_row, 0 AS upto;
         DROP TABLE plain_label; DROP TABLE plain_token_name;
         ALTER TABLE sign_in DROP COLUMN label; ALTER TABLE sign_in ADD COLUMN label TEXT;
         ALTER TABLE api_token DROP COLUMN name; ALTER TABLE api_token ADD COLUMN name TEXT NOT NULL DEFAULT '';
         PRAGMA user_version = 10;",
    )
    .expect("as it was");
    plain_labels(&conn);
    drop(conn);
    assert!(holds(folder.path(), LABEL) && holds(folder.path(), TOKEN));
    let store = open(folder.path(), false).expect("opened");
    assert!(!holds(folder.path(), LABEL) && !holds(folder.path(), TOKEN));
    labels_are_read(&store).await;
    assert_eq!(store.user(&id("anna")).await.expect("read").expect("there").name, NAME);
}

#[tokio::test]
async fn what_was_plain_is_sealed_at_the_first_start() {
    let folder = tempfile::tempdir().expect("a folder");
    plain_database(folder.path());
    for text in [NAME, DEVICE, LABEL, TOKEN] {
        assert!(holds(folder.path(), text), "{text}");
    }
    let store = open(folder.path(), false).expect("opened");
    for text in [NAME, DEVICE, LABEL, TOKEN] {
        assert!(!holds(folder.path(), text), "{text}");
    }
    labels_are_read(&store).await;
    assert_eq!(shown(&store, "anna").await, expected());
    let events = store.read_after(&Topic::health(id("anna")), Offset(4999), 10).await.expect("read");
    let payload =
        format!(r#"{{"patient":"anna","author":"anna","device":"{DEVICE}","flags":["converted"]}}"#);
    assert_eq!(events[0].payload.get(), payload);
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
}
