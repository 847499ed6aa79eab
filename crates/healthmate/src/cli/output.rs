//! Writes data to stdout.

use std::io::{self, Write};

use serde::Serialize;

use super::failure::Failure;

/// Writes `text` and a line end. A reader that has left is no failure.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `data` as JSON on one line.
pub(crate) fn json(data: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(data).map_err(|error| Failure::failed(format!("cannot write: {error}")))?;
    line(&text)
}

/// Rows under a heading, their columns aligned.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let write = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| write(row.each_ref().map(String::as_str)));
    std::iter::once(write(heading)).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "Zoë".to_owned()], ["longer".to_owned(), "b".to_owned()]];
        assert_eq!(table(["id", "name"], &rows), "id      name\na       Zoë\nlonger  b");
    }
}
