//! Tables of figures as plain text, with footnotes that say how they were measured.

mod differences;
mod figure;
pub(crate) mod grid;
mod page;
mod scenario;
mod warnings;

use std::fmt::{self, Write};

pub use differences::differences;
pub use figure::{caption, description, title};
pub use grid::Columns;
pub use page::page;
pub use scenario::{markdown, scenario};
pub use warnings::warnings;

/// A table: the first column is text, the others are numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns' names.
    pub header: Vec<String>,
    /// The rows; a row shorter than the header ends in a text of any length.
    pub rows: Vec<Vec<String>>,
    /// The footnotes.
    pub notes: Vec<String>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let full = self
                .rows
                .iter()
                .filter(|row| row.len() == self.header.len() || column == 0);
            let cells = full.chain([&self.header]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..self.header.len()).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in [&self.header].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                match (column, widths.get(column)) {
                    (0, Some(&width)) => write!(line, "{cell:<width$}")?,
                    (_, Some(&width)) if row.len() == widths.len() => {
                        write!(line, "  {cell:>width$}")?;
                    }
                    _ => write!(line, "  {cell}")?,
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            write!(out, "\n{note}")?;
        }
        Ok(())
    }
}

/// The row of a void subject.
fn void_row(name: &str, problem: &str) -> Vec<String> {
    vec![name.to_owned(), format!("void: {problem}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_cells_and_a_reason_may_be_longer() {
        let mut table = Table::new(&["", "µs", "requests/s"]);
        table.rows = vec![
            vec!["floor".to_owned(), "4.50".to_owned(), "182,737".to_owned()],
            void_row("a", "a reason longer than any column"),
        ];
        table.notes = vec!["How it was measured.".to_owned()];
        let expected = "         µs  requests/s\n\
                        floor  4.50     182,737\n\
                        a      void: a reason longer than any column\n\
                        \nHow it was measured.";
        assert_eq!(table.to_string(), expected);
    }
}
