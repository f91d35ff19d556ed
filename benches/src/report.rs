//! Tables of figures as plain text, with footnotes that say how they were measured.

pub(crate) mod grid;
mod idle;
mod instructions;
mod page;
mod poems;
mod scenario;
mod throughput;
mod warnings;

use std::fmt::{self, Write};

pub use idle::memory;
pub use instructions::instructions;
pub use page::page;
pub use poems::poems;
pub use scenario::{markdown, scenario};
pub use throughput::throughput;
pub use warnings::warnings;

use crate::analysis::Analysis;
use crate::analysis::finding::{lower_first, on_axis};
use crate::results::Figure;
use crate::statistics::Spread;

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
        Figure::Bars { .. } => {
            "Bars are medians, whiskers reach from the lowest to the highest round, dots are rounds."
        }
        Figure::Lines { .. } => {
            "Markers are medians; whiskers reach from the lowest to the highest round."
        }
        Figure::Percentiles { .. } => {
            "Lines are all rounds together; whiskers reach from the lowest to the highest round."
        }
    }
}

const NOT_AVAILABLE: &str = "not available";

/// Formats a figure by `show`, or as not available.
fn or_not<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NOT_AVAILABLE.to_owned(), show)
}

/// Formats `low–high`, each by `show`.
fn range(spread: Spread, show: impl Fn(f64) -> String) -> String {
    format!("{}–{}", show(spread.low), show(spread.high))
}

/// The row of a void subject.
fn void_row(name: &str, problem: &str) -> Vec<String> {
    vec![name.to_owned(), format!("void: {problem}")]
}

/// Formats a number as `12,345`.
fn thousands(value: f64) -> String {
    let text = format!("{value:.0}");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let mut grouped = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
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

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (-123.0, "-123"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn a_missing_figure_is_shown_as_not_available() {
        assert_eq!(or_not(None, mebibytes), NOT_AVAILABLE);
        assert_eq!(or_not(Some(3 << 19), mebibytes), "1.5 MiB");
    }
}
