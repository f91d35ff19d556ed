//! The report of a throughput measurement.

use super::{NOT_AVAILABLE, Table, mebibytes, or_not, range, thousands, void_row};
use crate::runner::{EntrantSummary, Figures, Outcome};
use crate::statistics::Spread;

/// Throughput and cost, one line for every entrant.
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
    table.rows = summary.entrants.iter().map(row).collect();
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
    table.notes.extend(exceptions(&summary.entrants));
    table.notes.push(outcome.environment.to_string());
    table
}

fn row(entrant: &EntrantSummary) -> Vec<String> {
    if let Some(void) = &entrant.void {
        return void_row(&entrant.name, void);
    }
    let (rate, cpu) = (entrant.rate, entrant.cpu_us);
    let micros = |cpu: f64| format!("{cpu:.2}");
    vec![
        entrant.name.clone(),
        or_not(rate, |rate| thousands(rate.median)),
        or_not(rate, |rate| range(rate, thousands)),
        or_not(cpu, |cpu| micros(cpu.low)),
        or_not(cpu, |cpu| micros(cpu.median)),
        or_not(cpu, |cpu| range(cpu, micros)),
        or_not(entrant.best_ratio, |ratio| format!("{ratio:.3}")),
        or_not(entrant.ratio, |ratio| format!("{:.3}", ratio.median)),
        or_not(entrant.user_share, |share| {
            format!("{:.0} %", share * 100.0)
        }),
        or_not(entrant.switches, |(voluntary, involuntary)| {
            format!("{voluntary:.0} + {involuntary:.0}")
        }),
        or_not(entrant.threads, |threads| threads.to_string()),
        or_not(entrant.peak_memory, mebibytes),
    ]
}

/// The footnotes of every throughput table.
fn how(outcome: &Outcome) -> Vec<String> {
    let rounds = outcome
        .rows
        .iter()
        .map(|row| row.round + 1)
        .max()
        .unwrap_or(0);
    let of = |figure: fn(&Figures) -> f64| {
        let figures = outcome.rows.iter().filter_map(|row| row.figures.as_ref());
        let seconds = |seconds: f64| format!("{seconds:.2}");
        or_not(Spread::of(figures.map(figure)), |spread| {
            range(spread, seconds)
        })
    };
    let (timed, warm_up) = (
        of(|figures| figures.seconds),
        of(|figures| figures.warm_up_seconds),
    );
    vec![
        format!("{rounds} rounds of {timed} s after {warm_up} s of warm-up, discarded; every server a new process in every round, in shuffled order."),
        "Every byte of every reply was compared, warm-up included.".to_owned(),
        "CPU: user and system time of the server's process in the window, per reply in the window; the first column is \
         the best round, since noise only adds. × floor: best to best, then the median of each round's ratio."
            .to_owned(),
        "user: part of the CPU time in user space, from the kernel's 10 ms ticks. switches: voluntary + involuntary, \
         of live threads."
            .to_owned(),
    ]
}

/// The footnotes about some entrants only.
fn exceptions(entrants: &[EntrantSummary]) -> Vec<String> {
    let mut notes = Vec::new();
    let named = |of: &dyn Fn(&&EntrantSummary) -> bool| {
        let names: Vec<&str> = entrants
            .iter()
            .filter(of)
            .map(|entrant| entrant.name.as_str())
            .collect();
        names.join(", ")
    };
    let agree = named(&|entrant| entrant.counts_agree && entrant.void.is_none());
    let without = named(&|entrant| !entrant.counts_agree && entrant.void.is_none());
    if !agree.is_empty() {
        notes.push(format!(
            "The server's own counts agree with the client's ledger in every round: {agree}."
        ));
    }
    if !without.is_empty() {
        notes.push(format!(
            "Checked by the client's ledger only, since the server writes no counts: {without}."
        ));
    }
    for entrant in entrants.iter().filter(|entrant| entrant.connect_errors > 0) {
        notes.push(format!(
            "{}: {} connections could not be made.",
            entrant.name, entrant.connect_errors
        ));
    }
    notes
}
