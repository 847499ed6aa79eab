//! Recordings: what a CSV file of `data/` holds.

use std::io::Read;

use healthmate_care::Metric;
use healthmate_protocol::Timestamp;

/// The longest name of a recording, in characters: it is part of every `client_id`.
const MAX_NAME_CHARS: usize = 48;

/// One row: when, counted from the recording's first row, and what.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Milliseconds since the first row.
    pub(crate) at_ms: i64,
    /// The number, in the metric's canonical unit.
    pub(crate) value: f64,
}

/// A person's measurements of one metric, in the order they were taken.
pub(crate) struct Recording {
    name: String,
    metric: Metric,
    rows: Vec<Row>,
}

/// Health data stays out of logs and panics.
impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recording({}, {} rows)", self.name, self.rows.len())
    }
}

/// Which part of a file to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Only this subject; needed where a file holds several.
    pub(crate) subject: Option<String>,
    /// What the column `value` holds; for other columns, what they must hold.
    pub(crate) metric: Option<Metric>,
}

/// Why a file is no recording. No message repeats a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    /// Not readable as CSV.
    #[error("not a CSV file: {0}")]
    Csv(String),
    /// The header is not understood.
    #[error(
        "header {found:?} is not understood: expected `t_ms,bpm`, `subject,time,mg_dl`, or `time,value` with --metric"
    )]
    Header { found: String },
    /// `value` can be anything.
    #[error("the column `value` needs --metric")]
    MetricNeeded,
    /// The file holds something else than was asked for.
    #[error("--metric {asked}: the file holds {held}")]
    OtherMetric { asked: Metric, held: Metric },
    /// A field is not readable.
    #[error("line {line}: {problem}")]
    Line { line: u64, problem: String },
    /// There are several people in the file.
    #[error("the file holds the subjects {}: choose one with --subject", subjects.join(", "))]
    SubjectNeeded { subjects: Vec<String> },
    /// The person is not in the file.
    #[error("no subject {asked}; the file holds {}", if subjects.is_empty() { "none".to_owned() } else { subjects.join(", ") })]
    NoSuchSubject { asked: String, subjects: Vec<String> },
    /// Nothing is left.
    #[error("the file holds no rows")]
    Empty,
}

/// Where the fields of a row are.
struct Columns {
    subject: Option<usize>,
    time: usize,
    /// The time is milliseconds, not a date.
    counted: bool,
    value: usize,
    metric: Metric,
}

impl Recording {
    /// Reads the recording `name` from CSV.
    ///
    /// # Errors
    /// If the header is unknown, a field cannot be read, times run backwards, or the selection fits nothing.
    pub(crate) fn read(name: &str, csv: impl Read, selection: &Selection) -> Result<Self, RecordingError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(csv);
        let columns = Columns::find(reader.headers().map_err(|error| malformed(&error))?, selection.metric)?;
        let mut subjects: Vec<String> = Vec::new();
        let mut rows: Vec<(i64, f64)> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| malformed(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let refuse = |problem| RecordingError::Line { line, problem };
            if let Some(subject) = columns.subject.and_then(|column| record.get(column)) {
                if !subjects.iter().any(|known| known == subject) {
                    subjects.push(subject.to_owned());
                }
                if selection.subject.as_deref().unwrap_or(&subjects[0]) != subject {
                    continue;
                }
            }
            let row = columns.row(&record).map_err(refuse)?;
            if rows.last().is_some_and(|(before, _)| *before > row.0) {
                return Err(refuse("the time lies before that of the line above".to_owned()));
            }
            rows.push(row);
        }
        let subject = choose(selection.subject.as_deref(), subjects)?;
        let first = rows.first().ok_or(RecordingError::Empty)?.0;
        let rows = rows.into_iter().map(|(at, value)| Row { at_ms: at - first, value }).collect();
        Ok(Self { name: full_name(name, subject.as_deref()), metric: columns.metric, rows })
    }

    /// `<file stem>[/<subject>]`
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What was measured.
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    /// The rows, the first at 0 ms; never empty.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How long one lap takes when the recording loops, in milliseconds: its length and one usual gap, at least 1.
    pub(crate) fn lap_ms(&self) -> i64 {
        let length = self.rows.last().map_or(0, |row| row.at_ms);
        let gaps = i64::try_from(self.rows.len()).unwrap_or(i64::MAX) - 1;
        length + if gaps > 0 { (length / gaps).max(1) } else { 1000 }
    }
}

impl Columns {
    fn find(header: &csv::StringRecord, asked: Option<Metric>) -> Result<Self, RecordingError> {
        let column = |name: &str| header.iter().position(|known| known == name);
        let unknown = || RecordingError::Header { found: header.iter().collect::<Vec<_>>().join(",") };
        let (time, counted) = column("t_ms")
            .map(|at| (at, true))
            .or(column("time").map(|at| (at, false)))
            .ok_or_else(unknown)?;
        let named = [("mg_dl", Metric::Glucose), ("bpm", Metric::HeartRate)]
            .into_iter()
            .find_map(|(name, metric)| Some((column(name)?, metric)));
        let (value, metric) = match named {
            Some((column, held)) => match asked {
                Some(asked) if asked != held => return Err(RecordingError::OtherMetric { asked, held }),
                _ => (column, held),
            },
            None => (column("value").ok_or_else(unknown)?, asked.ok_or(RecordingError::MetricNeeded)?),
        };
        Ok(Self { subject: column("subject"), time, counted, value, metric })
    }

    /// The row's time in milliseconds since some origin, and its value.
    fn row(&self, record: &csv::StringRecord) -> Result<(i64, f64), String> {
        let field = |column| record.get(column).unwrap_or_default();
        let value: f64 = field(self.value).parse().map_err(|_| "the value is no number".to_owned())?;
        if !value.is_finite() {
            return Err("the value is no finite number".to_owned());
        }
        let time = field(self.time);
        let millis = if self.counted {
            time.parse().map_err(|_| "t_ms is no whole number of milliseconds".to_owned())?
        } else {
            // Times without a zone are local to the person; as only their distances count, UTC will do.
            let parsed = time.parse::<Timestamp>().or_else(|_| format!("{time}Z").parse::<Timestamp>());
            parsed.map_err(|_| "time is not written like 2015-06-06T16:50:27".to_owned())?.as_micros() / 1000
        };
        Ok((millis, value))
    }
}

fn malformed(error: &csv::Error) -> RecordingError {
    RecordingError::Csv(match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} fields, and the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("line {} is not UTF-8", pos.as_ref().map_or(0, csv::Position::line))
        }
        csv::ErrorKind::Io(problem) => problem.to_string(),
        _ => "it is malformed".to_owned(),
    })
}

/// The subject whose rows were kept.
fn choose(asked: Option<&str>, mut subjects: Vec<String>) -> Result<Option<String>, RecordingError> {
    match asked {
        Some(asked) if subjects.iter().any(|known| known == asked) => Ok(Some(asked.to_owned())),
        Some(asked) => {
            subjects.sort();
            Err(RecordingError::NoSuchSubject { asked: asked.to_owned(), subjects })
        }
        None if subjects.len() > 1 => {
            subjects.sort();
            Err(RecordingError::SubjectNeeded { subjects })
        }
        None => Ok(subjects.pop()),
    }
}

/// The name in the alphabet of a `client_id`, without the colon that separates its parts.
fn full_name(stem: &str, subject: Option<&str>) -> String {
    let plain = |text: &str| -> String {
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }
        };
        text.chars().map(allowed).take(MAX_NAME_CHARS).collect()
    };
    match subject {
        Some(subject) => format!("{}/{}", plain(stem), plain(subject)),
        None => plain(stem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(csv: &str, subject: Option<&str>, metric: Option<Metric>) -> Result<Recording, String> {
        let selection = Selection { subject: subject.map(str::to_owned), metric };
        Recording::read("test", csv.as_bytes(), &selection).map_err(|error| error.to_string())
    }

    #[test]
    fn heart_beats_are_counted_from_the_first() {
        let recording = read("t_ms,bpm\n664,90.4\n1445,76.8\n", None, None).expect("valid");
        assert_eq!(recording.metric(), Metric::HeartRate);
        assert!(recording.rows() == [Row { at_ms: 0, value: 90.4 }, Row { at_ms: 781, value: 76.8 }]);
        assert_eq!(recording.lap_ms(), 781 * 2);
        assert_eq!(recording.name(), "test");
    }

    #[test]
    fn glucose_is_read_for_the_chosen_subject() {
        let csv = "subject,time,mg_dl\n1,2015-06-06T16:50:27,153\n2,2015-02-24T17:31:29,90\n2,2015-02-24T17:36:29,95\n";
        let recording = read(csv, Some("2"), None).expect("valid");
        assert_eq!(recording.metric(), Metric::Glucose);
        assert!(recording.rows() == [Row { at_ms: 0, value: 90.0 }, Row { at_ms: 300_000, value: 95.0 }]);
        assert_eq!(recording.name(), "test/2");
        assert_eq!(
            read(csv, None, None).expect_err("two subjects"),
            "the file holds the subjects 1, 2: choose one with --subject"
        );
        assert_eq!(read(csv, Some("9"), None).expect_err("not there"), "no subject 9; the file holds 1, 2");
    }

    #[test]
    fn a_column_named_value_needs_a_metric() {
        let csv = "time,value\n2026-01-01T08:00:00+01:00,37.1\n2026-01-01T07:10:00Z,37.2\n";
        assert_eq!(read(csv, None, None).expect_err("no metric"), "the column `value` needs --metric");
        let recording = read(csv, None, Some(Metric::BodyTemperature)).expect("valid");
        assert_eq!(recording.rows()[1].at_ms, 600_000);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_line_without_the_value() {
        let refused = |csv| read(csv, None, None).expect_err("refused");
        assert_eq!(refused("t_ms,bpm\n1,70\n2,secret\n"), "line 3: the value is no number");
        assert_eq!(refused("t_ms,bpm\n1,inf\n"), "line 2: the value is no finite number");
        assert_eq!(refused("t_ms,bpm\nx,70\n"), "line 2: t_ms is no whole number of milliseconds");
        assert_eq!(refused("time,bpm\n16:50,70\n"), "line 2: time is not written like 2015-06-06T16:50:27");
        assert_eq!(refused("t_ms,bpm\n5,70\n4,71\n"), "line 3: the time lies before that of the line above");
        assert_eq!(refused("t_ms,bpm\n5\n"), "not a CSV file: line 2 has 1 fields, and the header has 2");
        assert_eq!(refused("t_ms,bpm\n"), "the file holds no rows");
        assert!(refused("when,what\n").starts_with("header \"when,what\" is not understood"));
        let other = read("t_ms,bpm\n1,70\n", None, Some(Metric::Glucose)).expect_err("other metric");
        assert_eq!(other, "--metric glucose: the file holds heart_rate");
    }

    #[test]
    fn names_fit_into_a_client_id() {
        assert_eq!(full_name("my file: Zoë", Some("a/b")), "my-file--Zo-/a-b");
        assert_eq!(full_name(&"x".repeat(200), None).len(), MAX_NAME_CHARS);
    }

    #[test]
    fn the_recordings_that_come_with_healthmate_are_read() {
        let heart = include_str!("../../../../data/heart-rate.csv");
        assert_eq!(read(heart, None, None).expect("valid").rows().len(), 4684);
        let glucose = include_str!("../../../../data/glucose.csv");
        let rows = |subject| read(glucose, Some(subject), None).expect("valid").rows().len();
        assert_eq!(["1", "2", "3", "4", "5"].map(rows).iter().sum::<usize>(), 13_866);
    }
}
