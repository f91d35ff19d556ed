//! The tables of any scenario as plain text and as Markdown.

use std::fmt::Write;

use super::grid::{self, Cell, Grid};
use super::{Table, void_row};
use crate::analysis::{Analysis, finding, words};

/// The table of a scenario for a terminal: the main metric by point if there are several, otherwise all metrics. The notes are the
/// finding, the noise and the method.
pub fn scenario(analysis: &Analysis<'_>) -> Table {
    let grid = main_grid(analysis);
    let with_spread = with_spread(&grid);
    let mut table = Table::default();
    table.header.push(grid.corner.clone());
    for (column, title) in grid.columns.iter().enumerate() {
        table.header.push(title.clone());
        if with_spread == Some(column) {
            table.header.push("spread".to_owned());
        }
    }
    for row in grid.groups.into_iter().flat_map(|group| group.rows) {
        let cells = match row.cells {
            Ok(cells) => cells,
            Err(reason) => {
                table.rows.push(void_row(&row.subject, &reason));
                continue;
            }
        };
        let mut line = vec![row.subject];
        for (column, cell) in cells.into_iter().enumerate() {
            let Cell { median, spread } = cell;
            let missing = median.is_empty();
            line.push(if missing { "–".to_owned() } else { median });
            if with_spread == Some(column) {
                line.push(spread);
            }
        }
        table.rows.push(line);
    }
    table.notes = notes(analysis);
    table
}

/// The table of a scenario in Markdown, with spreads in every cell.
pub fn markdown(analysis: &Analysis<'_>) -> String {
    let grid = main_grid(analysis);
    let mut text = format!(
        "| {} |{}",
        escaped(&grid.corner),
        joined(grid.columns.iter().map(|title| escaped(title)))
    );
    text += "\n|---|";
    text += &"---:|".repeat(grid.columns.len());
    text.push('\n');
    for row in grid.groups.iter().flat_map(|group| &group.rows) {
        let cells = match &row.cells {
            Ok(cells) => joined(cells.iter().map(markdown_cell)),
            Err(reason) => format!(
                " void: {} |{}",
                escaped(reason),
                " |".repeat(grid.columns.len() - 1)
            ),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |{cells}", escaped(&row.subject));
    }
    text
}

fn main_grid(analysis: &Analysis<'_>) -> Grid {
    grid::by_point(analysis).unwrap_or_else(|| grid::in_full(analysis))
}

/// The column whose spread a terminal shows: that of the slope if there is one, otherwise the first of one point, the last of
/// several.
fn with_spread(grid: &Grid) -> Option<usize> {
    let is_ratio = |title: &&String| title.starts_with('×');
    let figures = grid
        .columns
        .iter()
        .take_while(|title| !is_ratio(title))
        .count();
    figures.checked_sub(1)
}

fn notes(analysis: &Analysis<'_>) -> Vec<String> {
    let mut notes = vec![finding(analysis).join(" ")];
    notes.extend(noise(analysis));
    notes.push(analysis.scenario.method.clone());
    notes
}

/// What the A/A pair says of the main metric.
pub(crate) fn noise(analysis: &Analysis<'_>) -> Option<String> {
    let (metric, place) = analysis.main()?;
    let (one, again) = analysis.measured_twice()?;
    let noise = analysis.noise(metric, place)?;
    Some(format!(
        "Noise: {one} and {again} are the same program; they differ by {}. A smaller difference is too close to call.",
        words::percent(noise)
    ))
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| format!(" {cell} |")).collect()
}

fn markdown_cell(cell: &Cell) -> String {
    match (cell.median.is_empty(), cell.spread.is_empty()) {
        (true, _) => "–".to_owned(),
        (_, true) => cell.median.clone(),
        _ => format!("{} ({})", cell.median, cell.spread),
    }
}

/// Escapes what Markdown would take for a column, HTML or emphasis.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                escaped.push('\\');
                escaped.push(char);
            }
            '\n' | '\r' => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}
