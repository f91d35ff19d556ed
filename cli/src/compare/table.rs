//! The table, and notes on how it was measured.

use std::time::Duration;

use measure::Pinning;
use measure::analysis::{Analysis, Place, finding, words};
use measure::environment::Environment;
use measure::report::Table;
use measure::results::Entrant;
use measure::statistics::Spread;

use crate::table_layout;

use super::Compared;
use super::poems::{POEMS, SlowPoem};
use super::rounds::{CPU, RATE};
use super::throughput::{CONNECTIONS, TIMED, WARM_UP};

const HEAD: [&str; 6] = [
    "model",
    "elapsed",
    "requests/s",
    "CPU µs per request",
    "threads",
    "peak memory",
];

/// Formats the table and its notes for stdout.
pub(super) fn render(compared: &Compared) -> String {
    table_layout::for_stdout(&table(compared))
}

fn table(compared: &Compared) -> Table {
    let mut table = Table::new(&HEAD);
    let subjects = compared.rounds.subjects();
    table.rows = subjects.map(|subject| cells(compared, subject)).collect();
    table.notes = notes(compared);
    table
}

fn cells(compared: &Compared, subject: &Entrant) -> Vec<String> {
    let available = |figure: Option<String>| figure.unwrap_or_else(|| "not available".to_owned());
    let poems = compared
        .fetched
        .iter()
        .find(|(model, _)| *model == subject.name);
    // A model that takes part twice has fetched the poems once.
    let elapsed = poems.map(|(_, poems)| seconds(poems.elapsed));
    let spread = |metric| available(spread(compared, subject, metric).map(with_range));
    let last = compared.rounds.last.get(&subject.name);
    let threads = last.and_then(|last| last.threads);
    let memory = last.and_then(|last| last.peak_memory);
    vec![
        subject.name.clone(),
        elapsed.unwrap_or_default(),
        spread(RATE),
        spread(CPU),
        available(threads.map(|threads| threads.to_string())),
        available(memory.map(|bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)))),
    ]
}

fn spread(compared: &Compared, subject: &Entrant, metric: &str) -> Option<Spread> {
    let analysis = analysis(compared)?;
    let metric = analysis.scenario.metric(metric)?;
    analysis.spread(&subject.name, metric, Place::Point(0.0))
}

fn analysis(compared: &Compared) -> Option<Analysis<'_>> {
    let results = &compared.rounds.results;
    Some(Analysis::of(results, results.scenarios.first()?))
}

/// Formats the median, with the lowest and the highest value: `3.71 (3.65–3.90)`.
fn with_range(spread: Spread) -> String {
    let median = words::number(spread.median);
    format!("{median} ({})", words::range(spread.low, spread.high, ""))
}

/// Returns the time that the slowest poem takes.
fn ideal() -> Duration {
    POEMS
        .iter()
        .map(SlowPoem::duration)
        .max()
        .unwrap_or_default()
}

/// Says what was found and how it was measured, in paragraphs.
fn notes(compared: &Compared) -> Vec<String> {
    let replies = match compared.rounds.verified {
        1 => "1 reply".to_owned(),
        replies => format!("{} replies", words::thousands(replies as f64)),
    };
    let pinned = match Pinning::apart() {
        Pinning::NONE => "neither side is pinned to a core",
        _ => "server and load generator are each pinned to a core",
    };
    let poems = format!(
        "Elapsed: {} slow poems fetched at once, each then transformed. {} would be ideal, since the slowest poem takes that long; \
         one after another they would take {}.",
        POEMS.len(),
        seconds(ideal()),
        seconds(POEMS.iter().map(SlowPoem::duration).sum()),
    );
    let has_cpu =
        analysis(compared).is_some_and(|analysis| analysis.scenario.metric(CPU).is_some());
    let rates = match has_cpu {
        true => " The load generator limits requests/s too, so they are not compared.",
        false => "",
    };
    let measured = format!(
        "Requests: {CONNECTIONS} keep-alive connections in a closed loop, 600-byte poems, {} s after {} s of warm-up, {} in an order \
         shuffled by seed {}: the median, with the lowest and the highest; {pinned}. CPU, threads and peak memory are the server \
         process's.{rates}",
        TIMED.as_secs_f64(),
        WARM_UP.as_secs_f64(),
        words::counted(rounds(compared), "round"),
        compared.seed,
    );
    let verified = format!(
        "Every byte of every poem and of {replies} was verified; clients and servers agree on connections, requests and bytes.",
    );
    let machine = format!(
        "On {}. {} For figures that can be published, see MEASURING.md.",
        machine(),
        compared.others
    );
    let debug = "This is a debug build: for figures, build with --release.";
    let mut paragraphs = found(compared).into_iter().collect::<Vec<_>>();
    paragraphs.extend([poems, measured, verified, machine]);
    paragraphs.extend(cfg!(debug_assertions).then(|| debug.to_owned()));
    paragraphs
}

/// Says which differences the rounds bear out, and how large the noise is.
fn found(compared: &Compared) -> Option<String> {
    let analysis = analysis(compared)?;
    let mut sentences = finding(&analysis);
    let (metric, place) = analysis.main()?;
    if let (Some(noise), Some((one, again))) =
        (analysis.noise(metric, place), analysis.measured_twice())
    {
        sentences.push(format!(
            "{one} and {again}, the same model, differ by {}: that is noise.",
            words::percent(noise)
        ));
    }
    Some(sentences.join(" "))
}

fn rounds(compared: &Compared) -> usize {
    analysis(compared).map_or(0, |analysis| analysis.rounds())
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

#[cfg(test)]
mod tests {
    use super::super::busy::Instantly;
    use super::super::poems::Fetched;
    use super::super::rounds::tests::rounds_of;
    use super::*;

    /// Compares callbacks, which take 4 µs, with another model.
    fn compared(other: [f64; 5]) -> Compared {
        let callbacks = [4.00, 4.10, 3.90, 4.05, 3.95];
        let again = [4.02, 4.08, 3.92, 4.05, 3.96];
        let started = Instantly::now();
        Compared {
            fetched: vec![(
                "callbacks",
                Fetched {
                    elapsed: Duration::from_millis(2_214),
                },
            )],
            rounds: rounds_of(&[
                ("callbacks", None, &callbacks),
                ("actors", None, &other),
                ("callbacks again", Some("callbacks"), &again),
            ]),
            seed: 7,
            others: started.since(),
        }
    }

    #[test]
    fn the_columns_are_aligned_and_show_medians_with_their_spread() {
        let table = table_layout::render(&table(&compared([8.0, 8.2, 7.8, 8.1, 7.9])), None);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("model") && lines[0].ends_with("peak memory"));
        let width = |line: &str| line.chars().count();
        assert_eq!(width(lines[0]), width(lines[1]), "{table}");
        for figure in ["2.21 s", "4 (3.90–4.10)", " 2 ", "4.0 MiB"] {
            assert!(lines[1].contains(figure), "{figure} is missing: {table}");
        }
        assert!(lines[3].starts_with("callbacks again  "), "{table}");
        assert!(
            table.contains("1,234,567 replies") && table.contains("seed 7"),
            "{table}"
        );
    }

    #[test]
    fn a_difference_that_the_rounds_bear_out_is_stated_with_its_interval_and_the_noise() {
        let found = found(&compared([8.0, 8.2, 7.8, 8.1, 7.9])).unwrap();
        assert!(
            found.starts_with("callbacks has the lowest CPU per request, 4 µs"),
            "{found}"
        );
        assert!(
            found.contains("actors, has 2 times as much as callbacks ("),
            "{found}"
        );
        assert!(
            found.contains("callbacks and callbacks again, the same model, differ by"),
            "{found}"
        );
    }

    #[test]
    fn a_difference_that_they_do_not_separate_is_too_close_to_call() {
        let found = found(&compared([4.01, 4.12, 3.88, 4.04, 3.97])).unwrap();
        assert!(
            found.starts_with("callbacks and actors are too close to call"),
            "{found}"
        );
        assert!(!found.contains("lowest"), "{found}");
    }

    #[test]
    fn a_figure_that_the_system_does_not_provide_is_not_available() {
        let mut compared = compared([4.0; 5]);
        compared.rounds.without_cpu();
        let table = table(&compared).to_string();
        assert!(
            table.contains("not available") && !table.contains("not compared"),
            "{table}"
        );
        assert!(found(&compared).unwrap().contains("requests/s"), "{table}");
    }
}
