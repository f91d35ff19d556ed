//! The table, and notes on how it was measured.

use std::time::Duration;

use measure::Pinning;
use measure::environment::Environment;
use measure::report::Table;

use crate::{table_layout, terminal};

use super::Row;
use super::poems::{POEMS, SlowPoem};
use super::throughput::{CONNECTIONS, TIMED, WARM_UP};

const HEAD: [&str; 8] = [
    "model",
    "elapsed",
    "ideal",
    "one after another",
    "requests/s",
    "CPU µs per request",
    "threads",
    "peak memory",
];

/// Formats the table and its notes for stdout.
pub(super) fn render(rows: &[Row]) -> String {
    table_layout::render(&table(rows), terminal::stdout_columns())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&HEAD);
    table.rows = rows.iter().map(cells).collect();
    table.notes = notes(rows);
    table
}

fn cells(row: &Row) -> Vec<String> {
    let available = |figure: Option<String>| figure.unwrap_or_else(|| "not available".to_owned());
    let loaded = &row.loaded;
    vec![
        row.model.to_owned(),
        seconds(row.fetched.elapsed),
        seconds(ideal()),
        seconds(POEMS.iter().map(SlowPoem::duration).sum()),
        thousands(loaded.requests_per_second.round() as u64),
        available(
            loaded
                .cpu_per_request
                .map(|cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6)),
        ),
        available(loaded.threads.map(|threads| threads.to_string())),
        available(
            loaded
                .peak_memory
                .map(|bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))),
        ),
    ]
}

/// Returns the time that the slowest poem takes.
fn ideal() -> Duration {
    POEMS
        .iter()
        .map(SlowPoem::duration)
        .max()
        .unwrap_or_default()
}

/// Describes how the table was measured, in paragraphs.
fn notes(rows: &[Row]) -> Vec<String> {
    let replies: u64 = rows.iter().map(|row| row.loaded.verified).sum();
    let pinned = match Pinning::apart() {
        Pinning::NONE => "neither side is pinned to a core",
        _ => "server and load generator are each pinned to a core",
    };
    let measured = format!(
        "Elapsed: {} slow poems fetched at once, each then transformed. Ideal: the pace of the slowest poem; one after \
         another: the paces of all; both are computed. Requests: {CONNECTIONS} keep-alive connections in a closed loop, \
         600-byte poems, {} s after {} s of warm-up; {pinned}. CPU, threads and peak memory are the server process's.",
        POEMS.len(),
        TIMED.as_secs_f64(),
        WARM_UP.as_secs_f64(),
    );
    let verified = format!(
        "Every byte of every poem and of {} was verified; clients and servers agree on connections, requests and \
         bytes.",
        match replies {
            1 => "1 reply".to_owned(),
            replies => format!("{} replies", thousands(replies)),
        }
    );
    let machine = format!(
        "One run, on {}: a first look, not a benchmark. For figures that can be reproduced, see MEASURING.md.",
        machine()
    );
    let debug = "This is a debug build: for figures, build with --release.";
    let mut paragraphs = vec![measured, verified, machine];
    paragraphs.extend(cfg!(debug_assertions).then(|| debug.to_owned()));
    paragraphs
}

/// Describes the machine, such as `2 cores of Some Processor with linux 6.1`, as far as the system tells.
fn machine() -> String {
    let here = Environment::now(None, Pinning::NONE, 0);
    let cores = here.cores.map(|cores| format!("{cores} cores")).into_iter();
    let processor = here.processor.map(|name| format!("of {name}"));
    let system = here.kernel.map(|kernel| format!("with {kernel}"));
    let known: Vec<String> = cores.chain(processor).chain(system).collect();
    known.join(" ")
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Groups digits: `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::poems::Fetched;
    use super::super::throughput::Loaded;
    use super::*;

    fn row(cpu_per_request: Option<Duration>) -> Row {
        Row {
            model: "callbacks",
            fetched: Fetched {
                elapsed: Duration::from_millis(2_214),
            },
            loaded: Loaded {
                requests_per_second: 81_204.4,
                cpu_per_request,
                threads: Some(2),
                peak_memory: Some(4 << 20),
                verified: 1_234_567,
            },
        }
    }

    #[test]
    fn the_columns_are_aligned_and_show_the_row_s_figures() {
        let table = table_layout::render(&table(&[row(Some(Duration::from_nanos(10_940)))]), None);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("model") && lines[0].ends_with("peak memory"));
        let width = |line: &str| line.chars().count();
        assert_eq!(width(lines[0]), width(lines[1]), "{table}");
        for figure in ["2.21 s", "2.20 s", "81,204", "10.9", " 2 ", "4.0 MiB"] {
            assert!(lines[1].contains(figure), "{figure} is missing: {table}");
        }
        assert!(table.contains("1,234,567 replies"));
    }

    #[test]
    fn a_figure_that_the_system_does_not_provide_is_not_available() {
        assert!(table(&[row(None)]).to_string().contains("not available"));
    }
}
