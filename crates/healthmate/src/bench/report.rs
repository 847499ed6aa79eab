//! What a benchmark found: a table for people, JSON for machines.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

/// One line of the result: a load, a server, and what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Which scenario.
    pub(crate) scenario: &'static str,
    /// Who was under load.
    pub(crate) server: String,
    /// What the load was.
    pub(crate) load: String,
    /// Names, with their units, and values.
    pub(crate) figures: Vec<(&'static str, f64)>,
}

impl Serialize for Line {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Map::new();
        fields.insert("scenario".to_owned(), self.scenario.into());
        fields.insert("server".to_owned(), self.server.clone().into());
        fields.insert("load".to_owned(), self.load.clone().into());
        let figures = self.figures.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        fields.extend(figures);
        fields.serialize(serializer)
    }
}

/// Tables of lines, one for each run of lines that measure the same.
pub(crate) fn tables(lines: &[Line]) -> String {
    let names = |line: &Line| line.figures.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let groups = lines.chunk_by(|one, next| one.scenario == next.scenario && names(one) == names(next));
    groups.map(table).collect::<Vec<_>>().join("\n\n")
}

fn table(lines: &[Line]) -> String {
    let mut rows = vec![vec![lines[0].scenario.to_owned(), "server".to_owned()]];
    rows[0].extend(lines[0].figures.iter().map(|(name, _)| name.replace('_', " ")));
    for line in lines {
        let mut row = vec![line.load.clone(), line.server.clone()];
        row.extend(line.figures.iter().map(|(_, value)| number(*value)));
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let write = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(write).collect::<Vec<_>>().join("\n")
}

/// As many digits as mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 10.0 => 2,
        middle if middle < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// Shows on stderr how far a benchmark is. It draws only between two measurements.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins; on something that is no terminal, nothing is shown.
    pub(crate) fn begin() -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many measurements more are to come.
    pub(crate) fn expect(&self, steps: usize) {
        self.0.inc_length(steps as u64);
    }

    /// What is measured now.
    pub(crate) fn now(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.tick();
    }

    /// One measurement is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(load: &str, figures: Vec<(&'static str, f64)>) -> Line {
        Line { scenario: "ingest", server: "healthmate".to_owned(), load: load.to_owned(), figures }
    }

    #[test]
    fn lines_that_measure_the_same_share_a_table() {
        let lines = [
            line("1 x 1", vec![("rows_per_s", 1234.5), ("ratio", 0.614)]),
            line("10 x 100", vec![("rows_per_s", 99_999.0), ("ratio", 1.0)]),
            line("slow", vec![("p99_ms", 12.34)]),
        ];
        let expected = "\
ingest    server      rows per s  ratio
1 x 1     healthmate        1234   0.61
10 x 100  healthmate       99999   1.00

ingest  server      p99 ms
slow    healthmate    12.3";
        assert_eq!(tables(&lines), expected);
    }

    #[test]
    fn json_has_the_figures_beside_the_load() {
        let json = serde_json::to_value(line("1 x 1", vec![("ratio", 0.5)])).expect("JSON");
        assert_eq!(json["load"], "1 x 1");
        assert_eq!(json["ratio"], 0.5);
    }
}
