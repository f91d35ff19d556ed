//! The tables of any scenario as plain text and as Markdown.

use std::fmt::Write;

use super::grid::{self, Cell, Columns, Grid, GridRow};
use super::{Table, void_row};
use crate::analysis::{Analysis, finding, why, words};

/// The table of a scenario for a terminal: the main metric by point if there are several, otherwise the metrics that are no
/// details. With all columns it has every metric at every point. The notes are the finding, the reason, the noise and the method.
pub fn scenario(analysis: &Analysis<'_>, shown: Columns) -> Table {
    let grid = grid_of(analysis, shown);
    let mut table = Table::default();
    table.header.push(grid.corner.clone());
    for (column, title) in grid.columns.iter().enumerate() {
        table.header.push(title.clone());
        if grid.with_spread == column {
            table.header.push("spread".to_owned());
        }
    }
    for group in grid.groups {
        table.rows.extend(group.title.map(|title| vec![title]));
        let lines = group
            .rows
            .into_iter()
            .map(|row| line(row, grid.with_spread));
        table.rows.extend(lines);
    }
    table.notes = notes(analysis);
    table
}

/// The line of a subject.
fn line(row: GridRow, with_spread: usize) -> Vec<String> {
    let cells = match row.cells {
        Ok(cells) => cells,
        Err(reason) => return void_row(&row.subject, &reason),
    };
    let mut line = vec![row.subject];
    for (column, cell) in cells.into_iter().enumerate() {
        let Cell { median, spread } = cell;
        let missing = median.is_empty();
        line.push(if missing { "–".to_owned() } else { median });
        if with_spread == column {
            line.push(spread);
        }
    }
    line
}

/// The table of a scenario in Markdown, with spreads in every cell.
pub fn markdown(analysis: &Analysis<'_>, shown: Columns) -> String {
    let grid = grid_of(analysis, shown);
    let mut text = format!(
        "| {} |{}",
        escaped(&grid.corner),
        joined(grid.columns.iter().map(|title| escaped(title)))
    );
    text += "\n|---|";
    text += &"---:|".repeat(grid.columns.len());
    text.push('\n');
    let empty = |columns: usize| " |".repeat(columns);
    for group in &grid.groups {
        // Writing to a string cannot fail.
        if let Some(title) = &group.title {
            let _ = writeln!(
                text,
                "| **{}** |{}",
                escaped(title),
                empty(grid.columns.len())
            );
        }
        for row in &group.rows {
            let cells = match &row.cells {
                Ok(cells) => joined(cells.iter().map(markdown_cell)),
                Err(reason) => {
                    let reason = escaped(reason);
                    format!(" void: {reason} |{}", empty(grid.columns.len() - 1))
                }
            };
            let _ = writeln!(text, "| {} |{cells}", escaped(&row.subject));
        }
    }
    text
}

fn grid_of(analysis: &Analysis<'_>, shown: Columns) -> Grid {
    let by_point = match shown {
        Columns::Main => grid::by_point(analysis),
        Columns::All => None,
    };
    by_point.unwrap_or_else(|| grid::of_metrics(analysis, shown))
}

fn notes(analysis: &Analysis<'_>) -> Vec<String> {
    let mut notes = vec![finding(analysis).join(" ")];
    notes.extend(why(analysis));
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
