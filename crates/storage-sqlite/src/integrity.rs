//! Whether the database is whole: its pages, its references, and the promise that offsets have no holes.

use rusqlite::Connection;

use crate::failure::Failure;

/// Topics whose events are not exactly those from `oldest` to `head`.
const HOLES: &str = "SELECT 'the log of topic ' || t.key || ' has a hole' FROM topic AS t
    WHERE t.head - t.oldest + 1 != (SELECT count(*) FROM event AS e WHERE e.topic = t.key)
        OR EXISTS (SELECT 1 FROM event AS e WHERE e.topic = t.key AND (e.offset < t.oldest OR e.offset > t.head))";
const REFERENCES: &str =
    "SELECT 'a row of ' || \"table\" || ' refers to nothing' FROM pragma_foreign_key_check";
const PAGES: &str = "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check != 'ok'";

/// Everything that is wrong; empty if nothing is. No problem's text holds health data.
pub(crate) fn problems(conn: &Connection) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for sql in [PAGES, REFERENCES, HOLES] {
        let mut statement = conn.prepare(sql)?;
        for problem in statement.query_map([], |row| row.get(0))? {
            problems.push(problem?);
        }
    }
    Ok(problems)
}
