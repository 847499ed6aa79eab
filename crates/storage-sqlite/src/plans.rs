//! No query that others wait for reads a whole table or sorts by hand.

use rusqlite::{Connection, params_from_iter};

use crate::writer::{
    break_glass, credentials, directory, erasure, notifications, record, retention, sign_ins,
};
use crate::{integrity, migrations, queries};

fn plan(conn: &Connection, sql: &str, parameters: usize) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid SQL");
    let nulls = std::iter::repeat_n(rusqlite::types::Null, parameters);
    let rows = statement.query_map(params_from_iter(nulls), |row| row.get(3)).expect("a plan");
    rows.map(|row| row.expect("a step")).collect()
}

fn bad(step: &str) -> bool {
    (step.starts_with("SCAN ") && step != "SCAN CONSTANT ROW") || step.contains("TEMP B-TREE")
}

#[test]
fn every_query_has_its_index() {
    let mut conn = Connection::open_in_memory().expect("memory");
    migrations::apply(&mut conn, migrations::ALL).expect("migrated");
    let written = [
        (record::BY_NAME, 3),
        (record::FIRST_ANSWER, 2),
        (retention::OLD_TOPICS, 2),
        (retention::FIRST_KEPT, 4),
        (retention::FORGET_EVENTS, 2),
        (retention::SET_OLDEST, 2),
        (retention::FORGET_KEYS, 2),
        (directory::REMOVE_RELATION, 2),
        (directory::TAKEN, 1),
        (directory::ROLE, 1),
        (erasure::PATIENT, 1),
        (erasure::PERSONS, 1),
        (erasure::MEASUREMENTS, 1),
        (erasure::AUDITED, 1),
        (erasure::TOLD, 1),
        (erasure::TOPICS, 1),
        (erasure::FORGET_MEASUREMENTS, 2),
        (break_glass::HELD, 2),
        (break_glass::BEGUN, 2),
        (break_glass::FIND, 1),
        (break_glass::END, 2),
        (break_glass::UNRECORDED, 2),
        (break_glass::RECORDED, 1),
        (notifications::SEEN, 3),
        (credentials::API_TOKENS_HELD, 1),
        (credentials::REVOKE_API_TOKEN, 3),
        (credentials::API_TOKEN_USED, 2),
        (credentials::PASSKEYS_HELD, 1),
        (credentials::COUNTER, 1),
        (credentials::PASSKEY_USED, 3),
        (credentials::REMOVE_PASSKEY, 2),
        (sign_ins::FIND, 1),
        (sign_ins::ACTIVE, 1),
        (sign_ins::ROTATE, 5),
        (sign_ins::OPEN, 1),
        (sign_ins::END, 2),
        (sign_ins::FORGET, 2),
        (sign_ins::FORGET_API_TOKENS, 2),
        (sign_ins::FORGET_REVOCATIONS, 2),
    ];
    let erased: Vec<_> = erasure::BY_KEY.iter().chain(erasure::BY_ID).map(|(_, sql)| (*sql, 1)).collect();
    for (sql, parameters) in queries::INDEXED.iter().chain(&written).chain(&erased) {
        let plan = plan(&conn, sql, *parameters);
        assert!(!plan.is_empty() && !plan.iter().any(|step| bad(step)), "{sql}\n{plan:#?}");
    }
    let history = plan(&conn, queries::INDEXED[3].0, 6).join("\n");
    assert!(history.contains("measurement_by_metric (patient=? AND metric=? AND taken_at>?"), "{history}");
    let unindexed = plan(&conn, "SELECT * FROM measurement WHERE value = ?1 ORDER BY device", 1);
    assert!(unindexed.iter().all(|step| bad(step)), "the test would notice: {unindexed:?}");
}

#[test]
fn a_hole_in_a_log_is_found() {
    let mut conn = Connection::open_in_memory().expect("memory");
    migrations::apply(&mut conn, migrations::ALL).expect("migrated");
    conn.execute_batch(
        "INSERT INTO topic (key, name, head, oldest, oldest_at) VALUES (1, 'health:p', 3, 1, 5);
         INSERT INTO event (topic, offset, kind, recorded_at, payload)
            VALUES (1, 1, 1, 5, '{}'), (1, 2, 1, 5, '{}'), (1, 3, 1, 5, '{}');",
    )
    .expect("written");
    assert_eq!(integrity::problems(&conn).expect("read"), Vec::<String>::new());
    conn.execute_batch("DELETE FROM event WHERE offset = 2").expect("deleted");
    assert_eq!(integrity::problems(&conn).expect("read"), ["the log of topic 1 has a hole"]);
    conn.execute_batch("UPDATE event SET offset = 9 WHERE offset = 3; UPDATE topic SET head = 2")
        .expect("updated");
    assert_eq!(integrity::problems(&conn).expect("read").len(), 1);
}
