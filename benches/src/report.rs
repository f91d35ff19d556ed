//! What was measured, as plain text for a person, with footnotes that say how it was got.

use std::fmt::{self, Write};

use crate::runner::{Outcome, Spread, Standing};

/// A table: the first column is text, the others are numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns' names.
    pub header: Vec<String>,
    /// The rows; one that is shorter than the header ends in a text of any length.
    pub rows: Vec<Vec<String>>,
    /// What is to be known about it.
    pub notes: Vec<String>,
}

impl Table {
    /// A table without rows.
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

/// The report of a throughput measurement.
pub fn throughput(outcome: &Outcome) -> Table {
    let summary = outcome.summary();
    let mut table = Table::new(&[
        "",
        "requests/s",
        "spread",
        "CPU µs/request",
        "median",
        "spread",
        "× floor",
        "median",
        "user",
        "switches/1,000",
        "threads",
        "peak",
    ]);
    table.rows = summary.standings.iter().map(throughput_row).collect();
    table.notes.push(format!("{}.", outcome.load));
    table.notes.extend(how(outcome));
    let percent = |noise: Option<f64>| match noise {
        Some(noise) => format!("{:.1} %", noise * 100.0),
        None => NOT_AVAILABLE.to_owned(),
    };
    if let [_, one, .., again] = &outcome.entrants[..] {
        table.notes.push(format!(
            "A/A: {one} and {again} are the same program; they differ by {} in best CPU per request, {} in its median, \
             {} in requests/s. Smaller differences are too close to call.",
            percent(summary.noise.best_cpu),
            percent(summary.noise.median_cpu),
            percent(summary.noise.rate),
        ));
    }
    for (one, other) in summary.too_close() {
        table
            .notes
            .push(format!("Too close to call: {one} and {other}."));
    }
    table.notes.extend(exceptions(&summary.standings));
    table.notes.push(outcome.environment.to_string());
    table
}

const NOT_AVAILABLE: &str = "not available";

fn throughput_row(standing: &Standing) -> Vec<String> {
    if let Some(void) = &standing.void {
        return vec![standing.name.clone(), format!("void: {void}")];
    }
    let of = |spread: Option<Spread>, show: &dyn Fn(Spread) -> String| match spread {
        Some(spread) => show(spread),
        None => NOT_AVAILABLE.to_owned(),
    };
    let or = |value: Option<String>| value.unwrap_or_else(|| NOT_AVAILABLE.to_owned());
    vec![
        standing.name.clone(),
        of(standing.rate, &|rate| thousands(rate.median)),
        of(standing.rate, &|rate| {
            format!("{}–{}", thousands(rate.low), thousands(rate.high))
        }),
        of(standing.cpu_us, &|cpu| format!("{:.2}", cpu.low)),
        of(standing.cpu_us, &|cpu| format!("{:.2}", cpu.median)),
        of(standing.cpu_us, &|cpu| {
            format!("{:.2}–{:.2}", cpu.low, cpu.high)
        }),
        or(standing.best_ratio.map(|ratio| format!("{ratio:.3}"))),
        of(standing.ratio, &|ratio| format!("{:.3}", ratio.median)),
        or(standing
            .user_share
            .map(|share| format!("{:.0} %", share * 100.0))),
        or(standing
            .switches
            .map(|(voluntary, involuntary)| format!("{voluntary:.0} + {involuntary:.0}"))),
        or(standing.threads.map(|threads| threads.to_string())),
        or(standing.peak_memory.map(mebibytes)),
    ]
}

/// How the figures were got, true of every throughput table.
fn how(outcome: &Outcome) -> Vec<String> {
    let rounds = outcome
        .rows
        .iter()
        .map(|row| row.round + 1)
        .max()
        .unwrap_or(0);
    let window = outcome.rows.iter().find_map(|row| row.figures.as_ref());
    let window = window.map_or_else(String::new, |figures| {
        format!(
            " of {:.2} s after {:.2} s of warm-up, discarded",
            figures.seconds, figures.warm_up_seconds
        )
    });
    vec![
        format!("{rounds} rounds{window}; every server a new process in every round, in shuffled order."),
        "Every byte of every reply was compared, warm-up included.".to_owned(),
        "CPU: user and system time of the server's process in the window, per reply in the window; first the best \
         round, since noise only adds. × floor: best to best, then the median of each round's ratio."
            .to_owned(),
        "user: part of the CPU time in user space, from the kernel's 10 ms ticks. switches: voluntary + involuntary, \
         of the threads that live."
            .to_owned(),
    ]
}

/// What is true of some entrants only.
fn exceptions(standings: &[Standing]) -> Vec<String> {
    let mut notes = Vec::new();
    let named = |of: &dyn Fn(&&Standing) -> bool| {
        let names: Vec<&str> = standings
            .iter()
            .filter(of)
            .map(|standing| standing.name.as_str())
            .collect();
        names.join(", ")
    };
    let agree = named(&|standing| standing.counts_agree && standing.void.is_none());
    let without = named(&|standing| !standing.counts_agree && standing.void.is_none());
    if !agree.is_empty() {
        notes.push(format!(
            "The server's own counts agree with the client's ledger in every round: {agree}."
        ));
    }
    if !without.is_empty() {
        notes.push(format!(
            "The client's ledger only, since they leave no counts: {without}."
        ));
    }
    for standing in standings
        .iter()
        .filter(|standing| standing.connect_errors > 0)
    {
        notes.push(format!(
            "{}: {} connections could not be made.",
            standing.name, standing.connect_errors
        ));
    }
    notes
}

/// `12 345`, with a thin gap where it reads well.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
