//! The report of a measurement of clients with many slow poems.

use super::{Table, or_not, range, thousands, void_row};
use crate::poems::{Outcome, Row};
use crate::statistics::Spread;

/// Elapsed time beside the ideal, one line for every client.
pub fn poems(outcome: &Outcome) -> Table {
    let mut table = Table::new(&[
        "", "× ideal", "median", "spread", "command", "median", "seconds", "accepted", "CPU s",
    ]);
    table.rows = outcome
        .subjects
        .iter()
        .map(|name| line(name, &outcome.rows))
        .collect();
    let rounds = outcome
        .rows
        .iter()
        .map(|row| row.round + 1)
        .max()
        .unwrap_or(0);
    table.notes = vec![
        format!(
            "{} slow poems at once, each served in {} s, the ideal. {rounds} rounds; the first column is the best.",
            thousands(outcome.poems as f64),
            outcome.ideal_seconds
        ),
        "× ideal: from the first connection to the end of the command, output included; command, seconds: from its start. \
         Every byte of output was compared. All clients have the same server, of one thread. accepted: seconds from the start until \
         the server had accepted the last connection; that poem was still to be served."
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
    let spread = |of: fn(&Row) -> Option<f64>| Spread::of(rows.iter().filter_map(|row| of(row)));
    let ratio = spread(|row| row.fetching_to_ideal);
    let command = spread(|row| row.to_ideal);
    let seconds = spread(|row| row.seconds);
    let accepted = spread(|row| row.accepted_seconds);
    let cpu = spread(|row| row.cpu_seconds);
    vec![
        name.to_owned(),
        or_not(ratio, |ratio| format!("{:.3}", ratio.low)),
        or_not(ratio, |ratio| format!("{:.3}", ratio.median)),
        or_not(ratio, |ratio| range(ratio, |ratio| format!("{ratio:.3}"))),
        or_not(command, |command| format!("{:.3}", command.low)),
        or_not(command, |command| format!("{:.3}", command.median)),
        or_not(seconds, |seconds| format!("{:.2}", seconds.median)),
        or_not(accepted, |accepted| format!("{:.2}", accepted.median)),
        or_not(cpu, |cpu| format!("{:.2}", cpu.median)),
    ]
}
