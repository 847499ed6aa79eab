//! The schema, step by step. A step that was released is never changed: add the next one.

use rusqlite::{Connection, TransactionBehavior};

/// "HMdb": tells our files from other people's.
pub(crate) const APPLICATION_ID: i32 = 0x484D_6462;

/// One step of the schema. Its version is its place in [`ALL`], from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// What it brings, in a few words.
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// Every step, the first one first.
pub(crate) const ALL: &[Migration] = &[
    Migration {
        name: "measurements and log",
        sql: include_str!("../migrations/0001_measurements_and_log.sql"),
    },
    Migration { name: "audit trail", sql: include_str!("../migrations/0002_audit.sql") },
    Migration { name: "credentials", sql: include_str!("../migrations/0003_credentials.sql") },
    Migration { name: "scopes of care", sql: include_str!("../migrations/0004_care_scopes.sql") },
    Migration { name: "data at rest", sql: include_str!("../migrations/0005_data_at_rest.sql") },
    Migration {
        name: "notifications and break-glass",
        sql: include_str!("../migrations/0006_notifications_and_break_glass.sql"),
    },
    Migration { name: "audit checkpoints", sql: include_str!("../migrations/0007_audit_checkpoints.sql") },
    Migration { name: "passkeys", sql: include_str!("../migrations/0008_passkeys.sql") },
    Migration {
        name: "audit filed by patient",
        sql: include_str!("../migrations/0009_audit_of_patient.sql"),
    },
    Migration { name: "erasures", sql: include_str!("../migrations/0010_erasures.sql") },
    Migration { name: "labels", sql: include_str!("../migrations/0011_labels.sql") },
    Migration { name: "audit filed in runs", sql: include_str!("../migrations/0012_audit_runs.sql") },
    Migration { name: "forgetting", sql: include_str!("../migrations/0013_forgetting.sql") },
];

/// The version of a database's schema: how many steps it has taken. 0 for an empty one.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether the file is ours, or empty: not something else that happens to be SQLite.
pub(crate) fn is_ours(conn: &Connection) -> rusqlite::Result<bool> {
    let id: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(id == APPLICATION_ID || (id == 0 && tables == 0))
}

/// Takes the steps of `migrations` that the database has not taken, each in its own transaction together with its
/// number, so that a crash leaves a whole step or none.
pub(crate) fn apply(conn: &mut Connection, migrations: &[Migration]) -> rusqlite::Result<()> {
    for (step, migration) in (1_i32..).zip(migrations) {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&transaction)? < step {
            transaction.execute_batch(migration.sql)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", step)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(conn: &Connection) -> Vec<(String, Option<String>)> {
        let mut statement =
            conn.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").expect("a schema");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// From the empty database, and from that of every release before, one arrives at the same schema.
    #[test]
    fn every_earlier_version_arrives_at_the_newest() {
        let mut fresh = Connection::open_in_memory().expect("memory");
        apply(&mut fresh, ALL).expect("migrated");
        for earlier in 0..=ALL.len() {
            let mut conn = Connection::open_in_memory().expect("memory");
            apply(&mut conn, &ALL[..earlier]).expect("the earlier version");
            assert_eq!(version(&conn).expect("a version"), i32::try_from(earlier).expect("few"));
            assert!(is_ours(&conn).expect("readable"));
            apply(&mut conn, ALL).expect("migrated");
            assert_eq!(version(&conn).expect("a version"), i32::try_from(ALL.len()).expect("few"));
            assert_eq!(schema(&conn), schema(&fresh));
        }
    }

    #[test]
    fn what_was_filed_before_there_were_runs_is_the_first_run() {
        let mut conn = Connection::open_in_memory().expect("memory");
        apply(&mut conn, &ALL[..11]).expect("migrated");
        conn.execute_batch(
            "INSERT INTO audit_of_patient (patient, seq) VALUES ('b', 1), ('a', 2), ('b', 5);
             UPDATE audit_filed SET upto = 7;",
        )
        .expect("filed");
        apply(&mut conn, ALL).expect("migrated");
        let filed =
            "SELECT group_concat(run || patient || seq), (SELECT max(upto) FROM audit_run) FROM audit_in_run";
        let filed = conn.query_row(filed, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("runs");
        assert_eq!(filed, ("7a2,7b1,7b5".to_owned(), 7));
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind_and_later_ones_untaken() {
        let broken = [
            Migration { name: "good", sql: "CREATE TABLE a (x) ;" },
            Migration { name: "broken", sql: "CREATE TABLE b (x); INSERT INTO missing VALUES (1);" },
            Migration { name: "never", sql: "CREATE TABLE c (x);" },
        ];
        let mut conn = Connection::open_in_memory().expect("memory");
        assert!(apply(&mut conn, &broken).is_err());
        assert_eq!(version(&conn).expect("a version"), 1);
        assert_eq!(schema(&conn).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
        let mended = [broken[0], Migration { name: "mended", sql: "CREATE TABLE b (x);" }, broken[2]];
        apply(&mut conn, &mended).expect("migrated");
        assert_eq!(schema(&conn).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn somebody_elses_database_is_not_ours() {
        let conn = Connection::open_in_memory().expect("memory");
        assert!(is_ours(&conn).expect("readable"), "an empty one may become ours");
        conn.execute_batch("CREATE TABLE theirs (x);").expect("created");
        assert!(!is_ours(&conn).expect("readable"));
    }
}
