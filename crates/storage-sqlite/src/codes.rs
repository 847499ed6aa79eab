//! The integers that stand for words in the rows that there are many of.

use healthmate_care::Metric;
use healthmate_storage::EventKind;

/// What stands for a metric: its key in the table `metric`.
pub(crate) fn metric_key(metric: Metric) -> i64 {
    match metric {
        Metric::HeartRate => 1,
        Metric::RespiratoryRate => 2,
        Metric::OxygenSaturation => 3,
        Metric::BodyTemperature => 4,
        Metric::SystolicBloodPressure => 5,
        Metric::DiastolicBloodPressure => 6,
        Metric::Glucose => 7,
        Metric::BodyWeight => 8,
        Metric::BodyHeight => 9,
        Metric::Steps => 10,
    }
}

/// The metric that `key` stands for.
pub(crate) fn metric_of(key: i64) -> Option<Metric> {
    Metric::ALL.into_iter().find(|metric| metric_key(*metric) == key)
}

/// What stands for a kind of event: its key in the table `event_kind`.
pub(crate) fn kind_key(kind: EventKind) -> i64 {
    match kind {
        EventKind::HealthUpdate => 1,
        EventKind::Notification => 2,
    }
}

/// The kind of event that `key` stands for.
pub(crate) fn kind_of(key: i64) -> Option<EventKind> {
    EventKind::ALL.into_iter().find(|kind| kind_key(*kind) == key)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn rows(conn: &Connection, table: &str) -> Vec<(i64, String)> {
        let mut statement =
            conn.prepare(&format!("SELECT key, name FROM {table} ORDER BY key")).expect("a table");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    #[test]
    fn the_tables_name_what_the_code_means() {
        let mut conn = Connection::open_in_memory().expect("memory");
        crate::migrations::apply(&mut conn, crate::migrations::ALL).expect("migrated");
        let metrics = Metric::ALL.map(|metric| (metric_key(metric), metric.as_str().to_owned()));
        assert_eq!(rows(&conn, "metric"), metrics);
        let kinds = EventKind::ALL.map(|kind| (kind_key(kind), kind.as_str().to_owned()));
        assert_eq!(rows(&conn, "event_kind"), kinds);
        assert!(Metric::ALL.into_iter().all(|metric| metric_of(metric_key(metric)) == Some(metric)));
        assert_eq!((metric_of(0), metric_of(99), kind_of(0)), (None, None, None));
    }
}
