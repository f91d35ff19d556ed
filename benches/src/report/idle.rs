//! The report of a memory measurement.

use super::{Table, mebibytes, or_not, range, thousands, void_row};
use crate::memory::{Outcome, Row};
use crate::statistics::Spread;

/// The cost of an idle connection, one line for every subject.
pub fn memory(outcome: &Outcome) -> Table {
    let mut table = Table::new(&[
        "",
        "bytes/connection",
        "spread",
        "at the fewest",
        "at the most",
        "threads",
        "kernel, both ends",
    ]);
    table.rows = outcome
        .subjects
        .iter()
        .map(|name| line(name, &outcome.rows))
        .collect();
    let points = outcome.rows.iter().find(|row| !row.points.is_empty());
    let counts: Vec<String> = points.map_or_else(Vec::new, |row| {
        let points = row.points.iter();
        points
            .map(|point| thousands(point.connections as f64))
            .collect()
    });
    let rounds = outcome
        .rows
        .iter()
        .map(|row| row.round + 1)
        .max()
        .unwrap_or(0);
    table.notes = vec![
        format!(
            "Idle connections: {}; each has made one request, whose reply was verified. {rounds} rounds, medians.",
            counts.join(", ")
        ),
        "bytes/connection: the slope of the server's own anonymous memory (RssAnon) from the fewest to the most."
            .to_owned(),
        "kernel: the slope of slabs, stacks and page tables of the whole machine, including both ends of every \
         connection and all other programs."
            .to_owned(),
        outcome.environment.to_string(),
    ];
    table
}

fn line(name: &str, rows: &[Row]) -> Vec<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.subject == name).collect();
    if let Some(problem) = rows.iter().find_map(|row| row.void.as_deref()) {
        return void_row(name, problem);
    }
    let own = Spread::of(rows.iter().filter_map(|row| row.own_slope()));
    let kernel = Spread::of(rows.iter().filter_map(|row| row.kernel_slope()));
    let (first, last) = rows
        .first()
        .map_or((None, None), |row| (row.points.first(), row.points.last()));
    vec![
        name.to_owned(),
        or_not(own, |own| thousands(own.median)),
        or_not(own, |own| range(own, thousands)),
        or_not(first.and_then(|point| point.own), mebibytes),
        or_not(last.and_then(|point| point.own), mebibytes),
        or_not(last.and_then(|point| point.threads), |threads| {
            threads.to_string()
        }),
        or_not(kernel, |kernel| thousands(kernel.median)),
    ]
}
