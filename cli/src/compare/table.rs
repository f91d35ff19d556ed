//! The table, and the few lines that say how it was got.

use std::time::Duration;

use measure::Pinning;
use measure::environment::Environment;
use measure::report::Table;

use super::Row;
use super::poems::{POEMS, Slow};
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

/// Characters in a line of the notes: about as wide as the table.
const LINE_CHARS: usize = 100;

/// The table and its notes, ready to be printed.
pub(super) fn render(rows: &[Row]) -> String {
    let mut table = Table::new(&HEAD);
    table.rows = rows.iter().map(cells).collect();
    table.notes = notes(rows).iter().map(|note| wrap(note)).collect();
    table.to_string()
}

fn cells(row: &Row) -> Vec<String> {
    let told = |figure: Option<String>| figure.unwrap_or_else(|| "not available".to_owned());
    let loaded = &row.loaded;
    vec![
        row.model.to_owned(),
        seconds(row.fetched.elapsed),
        seconds(ideal()),
        seconds(POEMS.iter().map(Slow::duration).sum()),
        thousands(loaded.requests_per_second.round() as u64),
        told(
            loaded
                .cpu_per_request
                .map(|cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6)),
        ),
        told(loaded.threads.map(|threads| threads.to_string())),
        told(
            loaded
                .peak_memory
                .map(|bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))),
        ),
    ]
}

/// The slowest poem's own time.
fn ideal() -> Duration {
    POEMS.iter().map(Slow::duration).max().unwrap_or_default()
}

/// How the table was got, in paragraphs.
fn notes(rows: &[Row]) -> Vec<String> {
    let replies: u64 = rows.iter().map(|row| row.loaded.verified).sum();
    let pinned = match Pinning::apart() {
        Pinning::NONE => "neither side is pinned to a core",
        _ => "server and load generator are each pinned to a core",
    };
    let got = format!(
        "Elapsed: {} slow poems fetched at once, each then transformed. Ideal: the pace of the slowest poem; one after \
         another: the paces of all; both are computed. Requests: {CONNECTIONS} keep-alive connections in a closed loop, \
         600-byte poems, {} s after {} s of warm-up; {pinned}. CPU, threads and peak memory are the server process's.",
        POEMS.len(),
        TIMED.as_secs_f64(),
        WARM_UP.as_secs_f64(),
    );
    let verified = format!(
        "Every byte of every poem and of {} replies was verified; clients and servers agree on connections, requests and \
         bytes.",
        thousands(replies)
    );
    let worth = format!(
        "One run, on {}: a first look, not a benchmark. How figures are got that others can get again: MEASURING.md.",
        machine()
    );
    let debug = "This is a debug build: for figures, build with --release.";
    let mut paragraphs = vec![got, verified, worth];
    paragraphs.extend(cfg!(debug_assertions).then(|| debug.to_owned()));
    paragraphs
}

/// `text` in lines of at most [`LINE_CHARS`].
fn wrap(text: &str) -> String {
    let mut wrapped = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let chars = word.chars().count();
        if length > 0 && length + 1 + chars > LINE_CHARS {
            wrapped.push('\n');
            length = 0;
        } else if length > 0 {
            wrapped.push(' ');
            length += 1;
        }
        wrapped += word;
        length += chars;
    }
    wrapped + "\n"
}

/// Such as `2 cores of Some Processor, linux 6.1`. What the system does not tell is left out.
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

/// A number that can be read: `1,234,567`.
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
    fn the_columns_are_aligned_and_the_figures_are_those_of_the_row() {
        let table = render(&[row(Some(Duration::from_nanos(10_940)))]);
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
    fn what_the_system_does_not_tell_is_not_available() {
        assert!(render(&[row(None)]).contains("not available"));
    }
}
