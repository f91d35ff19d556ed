//! Tables of figures as plain text, with footnotes that say how they were measured.

mod differences;
pub(crate) mod grid;
mod page;
mod scenario;
mod warnings;

use std::fmt::{self, Write};

pub use differences::differences;
pub use grid::Columns;
pub use page::page;
pub use scenario::{markdown, scenario};
pub use warnings::warnings;

use crate::analysis::Analysis;
use crate::analysis::finding::{lower_first, on_axis};
use crate::results::Figure;

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

/// The title of a scenario's plot.
pub fn figure_title(analysis: &Analysis<'_>) -> String {
    let scenario = analysis.scenario;
    let metric = analysis
        .figure_metric()
        .and_then(|name| scenario.metric(name));
    let title = metric.map_or("", |metric| metric.title.as_str());
    let axis = scenario
        .axis
        .as_ref()
        .filter(|_| scenario.points().len() > 1);
    match (&scenario.figure, axis) {
        (Figure::Percentiles { .. }, Some(axis)) => {
            let point = analysis.main().map_or(0.0, |(_, place)| match place {
                crate::analysis::Place::Point(point) => point,
                crate::analysis::Place::Slope => 0.0,
            });
            format!("Latency by percentile at {}", on_axis(point, axis))
        }
        (Figure::Percentiles { .. }, None) => "Latency by percentile".to_owned(),
        (Figure::Lines { .. }, Some(axis)) => format!("{title} by {}", lower_first(&axis.title)),
        _ => title.to_owned(),
    }
}

/// What the marks of a scenario's plot mean.
pub fn figure_caption(analysis: &Analysis<'_>) -> &'static str {
    match analysis.scenario.figure {
        // Lines through one point are drawn as bars.
        Figure::Lines { .. } if analysis.scenario.points().len() > 1 => {
            "Markers are medians; whiskers reach from the lowest to the highest round."
        }
        Figure::Lines { .. } | Figure::Bars { .. } => {
            "Bars are medians, whiskers reach from the lowest to the highest round, dots are rounds."
        }
        Figure::Percentiles { .. } => {
            "Lines are all rounds together; whiskers reach from the lowest to the highest round."
        }
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
