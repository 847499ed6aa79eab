//! While a database of before is sealed for the first time: each row is sealed or not, never half, and the next start
//! goes on.

use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;

use crate::client::ask;
use crate::process::{Server, count, database, healthmate, holds, output_of, trail_is_whole};

const NAME: &str = "Zacharias Markerstein";
const DEVICE: &str = "markercuff of the grandmother";

const USERS: i64 = 1200;
const MEASUREMENTS: i64 = 30_000;

/// A database as versions before the sealing wrote it.
fn plain_database(data: &Path) {
    let conn = Connection::open(data.join("healthmate.db")).expect("made");
    let steps = [
        include_str!("../../../storage-sqlite/migrations/0001_measurements_and_log.sql"),
        include_str!("../../../storage-sqlite/migrations/0002_audit.sql"),
        include_str!("../../../storage-sqlite/migrations/0003_credentials.sql"),
        include_str!("../../../storage-sqlite/migrations/0004_care_scopes.sql"),
    ];
    for (step, sql) in (1..).zip(steps) {
        conn.execute_batch(sql).expect("a step");
        conn.pragma_update(None, "user_version", step).expect("set");
    }
    conn.pragma_update(None, "application_id", 0x484D_6462).expect("set");
    let rows =
        |count| format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {count})");
    let (users, measurements) = (rows(USERS), rows(MEASUREMENTS));
    let payload = format!(r#"{{"patient":"p1","author":"p1","device":"{DEVICE}","flags":[]}}"#);
    conn.execute_batch(&format!(
        "BEGIN;
         INSERT INTO meta (only_row, epoch) VALUES (1, 'before');
         INSERT INTO user (key, id, role, name) {users} SELECT n, 'p' || n, 'patient', '{NAME}' FROM n;
         INSERT INTO topic (key, name, head, oldest_at) VALUES (1, 'health:p1', {MEASUREMENTS}, 5);
         INSERT INTO measurement (patient, taken_at, offset, metric, value, recorded_at, author, device)
             {measurements} SELECT 1, n, n, 1, 70.0, n, 1, '{DEVICE}' FROM n;
         INSERT INTO event (topic, offset, kind, recorded_at, payload)
             {measurements} SELECT 1, n, 1, n, '{payload}' FROM n;
         COMMIT;"
    ))
    .expect("written");
}

/// How many rows are in plain text; all of them before the step of the schema that seals.
fn plain(conn: &Connection) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM plain_name)
        + (SELECT count(*) FROM measurement WHERE plain_device IS NOT NULL)";
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or(USERS + MEASUREMENTS)
}

/// No row is both, or neither.
fn nothing_is_half(conn: &Connection) {
    if conn.prepare("SELECT * FROM plain_name").is_err() {
        return;
    }
    for both_or_neither in [
        "SELECT count(*) FROM user AS u WHERE (u.name IS NULL) <> EXISTS (SELECT 1 FROM plain_name WHERE user = u.key)",
        "SELECT count(*) FROM user AS u WHERE (u.name IS NULL) = EXISTS (SELECT 1 FROM data_key WHERE user = u.key)",
        "SELECT count(*) FROM measurement WHERE (device IS NULL) = (plain_device IS NULL)",
        "SELECT count(*) FROM event WHERE (device IS NULL) <> (payload LIKE '%device%')",
        "SELECT count(*) FROM measurement AS m JOIN event AS e ON e.offset = m.offset WHERE m.device IS NOT e.device",
    ] {
        assert_eq!(count(conn, both_or_neither), 0, "{both_or_neither}");
    }
    let problem: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("read");
    assert_eq!(problem, "ok");
}

#[test]
fn a_first_sealing_that_is_killed_goes_on_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    plain_database(data);
    let all = USERS + MEASUREMENTS;
    // Before it begins, among the names, among the devices, and while the file is written anew.
    for left in [all, all - 1, MEASUREMENTS + 500, MEASUREMENTS - 1, 20_000, 10_000, 1, 0] {
        let mut command = healthmate(data, &["migrate"]);
        let mut sealing =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("healthmate runs");
        {
            let conn = database(data);
            while plain(&conn) > left && sealing.try_wait().expect("asked").is_none() {
                std::thread::yield_now();
            }
        }
        // It may have ended by itself.
        let _ = sealing.kill();
        sealing.wait().expect("dead");
        let conn = database(data);
        assert!(plain(&conn) <= left, "{} of {left}", plain(&conn));
        nothing_is_half(&conn);
    }
    let server = Server::start(data);
    assert_eq!(plain(&database(data)), 0);
    let token = output_of(healthmate(data, &["token", "issue", "p1"]));
    let (mut path, mut seen) = ("/v1/patients/p1/measurements?limit=1000".to_owned(), 0);
    loop {
        let (status, page) = ask(&server.address, "GET", &path, &token, "").expect("an answer");
        assert_eq!(status, 200, "{page}");
        let page_of = page["measurements"].as_array().expect("a list");
        assert!(page_of.iter().all(|one| one["device"] == DEVICE), "{page}");
        seen += page_of.len() as i64;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/patients/p1/measurements?limit=1000&cursor={cursor}");
    }
    assert_eq!(seen, MEASUREMENTS);
    let names = output_of(healthmate(data, &["user", "list", "--json"]));
    assert_eq!(names.matches(NAME).count() as i64, USERS);
    drop(server);
    trail_is_whole(data);
    for text in [NAME, DEVICE] {
        assert!(!holds(data, text), "{text} is in a file");
    }
}
