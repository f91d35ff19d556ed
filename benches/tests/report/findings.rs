//! Findings and tables: what the rows say, in words.

use measure::analysis::{Analysis, finding};
use measure::report;
use measure::results::{Results, ScenarioResults};

use crate::sample;

fn with(scenario: ScenarioResults) -> Results {
    Results {
        scenarios: vec![scenario],
        ..sample::results()
    }
}

fn found(results: &Results) -> String {
    finding(&Analysis::of(results, &results.scenarios[0])).join("\n")
}

#[track_caller]
fn assert_says(text: &str, sentences: &[&str]) {
    for sentence in sentences {
        assert!(text.contains(sentence), "no {sentence:?} in:\n{text}");
    }
}

#[test]
fn subjects_that_cannot_be_told_apart_are_too_close_to_call() {
    let results = with(sample::keep_alive());
    assert_says(
        &found(&results),
        &[
            "callbacks and streams are too close to call: their CPU per request is 3.7",
            "python <asyncio> & \"co\" comes last with 22.",
            " times as much as callbacks (",
        ],
    );
}

#[test]
fn a_subject_comes_last_only_if_it_is_told_apart_from_all_others() {
    let mut results = with(sample::keep_alive());
    let rows = &mut results.scenarios[0].rows;
    rows.retain(|row| matches!(&*row.subject, "callbacks" | "actors" | "streams"));
    // From far below to far above the others, so that only its median is the highest.
    for row in rows.iter_mut().filter(|row| row.subject == "streams") {
        let cost = [2.0, 3.0, 8.0, 30.0, 40.0][row.round];
        row.values.insert("cpu_us".to_owned(), cost);
    }
    let text = found(&results);
    assert_says(
        &text,
        &[
            "callbacks and streams are too close to call",
            "actors has 4.2",
            " 13 % more than callbacks (",
        ],
    );
    assert!(!text.contains("comes last"), "{text}");
    // Of two that are behind and too close to call, neither comes last.
    for row in &mut results.scenarios[0].rows {
        let cost = match &*row.subject {
            "streams" => 9.0,
            "actors" => [8.9, 9.1, 9.0, 8.9, 9.2][row.round],
            _ => continue,
        };
        row.values.insert("cpu_us".to_owned(), cost);
    }
    let text = found(&results);
    assert_says(&text, &["Also too close to call: "]);
    assert!(!text.contains("comes last"), "{text}");
}

#[test]
fn a_clear_winner_is_named_with_the_next_and_the_last() {
    let mut results = with(sample::keep_alive());
    results.scenarios[0]
        .rows
        .retain(|row| row.subject != "streams");
    assert_says(
        &found(&results),
        &[
            "callbacks has the lowest CPU per request, 3.74 µs (1.50 times the floor); the next, actors, has 13 % more than callbacks (",
            "comes last with 22.5 µs",
        ],
    );
}

#[test]
fn only_the_bare_loops_that_beat_their_model_are_named() {
    let text = found(&with(sample::keep_alive()));
    assert_says(
        &text,
        &[
            "bare mio has 13 % less than callbacks (",
            "bare thread has ",
        ],
    );
    assert!(
        !text.contains("bare actor") && !text.contains("bare task"),
        "{text}"
    );
    let text = found(&with(sample::slow_poems()));
    assert!(
        !text.contains("bare actor") && !text.contains("bare task"),
        "{text}"
    );
}

#[test]
fn growth_along_the_axis_names_the_least_and_the_most() {
    let text = found(&with(sample::slow_poems()));
    assert_says(
        &text,
        &[
            "At 10,000 poems at once, ",
            "From 1 to 10,000 poems at once, elapsed over ideal grows by 15 % for ",
            ", and by 8",
        ],
    );
}

#[test]
fn a_slope_is_compared_instead_of_a_point() {
    let text = found(&with(sample::idle()));
    assert_says(
        &text,
        &[
            "the lowest memory per idle connection, 1,0",
            "times the floor",
        ],
    );
    assert!(!text.contains("From 1,000"), "{text}");
}

#[test]
fn a_void_subject_is_named_with_its_reason_and_not_compared() {
    let text = found(&with(sample::connections()));
    assert_says(
        &text,
        &[
            "python <asyncio> & \"co\" is void at 1,000 connections: a reply of 612 bytes",
            "blocking comes last",
        ],
    );
}

#[test]
fn too_few_rounds_call_nothing() {
    let mut results = with(sample::keep_alive());
    results.scenarios[0].rows.retain(|row| row.round < 2);
    assert_says(
        &found(&results),
        &["but 2 rounds are too few to call any difference."],
    );
    results.scenarios[0].rows.retain(|row| row.round < 1);
    assert_says(&found(&results), &["but 1 round is too few"]);
    results.scenarios[0].rows.clear();
    assert_eq!(found(&results), "Nothing was measured.");
}

#[test]
fn a_table_has_a_line_for_each_subject_with_its_spread_and_ratio() {
    let results = with(sample::connections());
    let table = report::scenario(&Analysis::of(&results, &results.scenarios[0]));
    assert_eq!(
        table.header,
        ["connections", "1", "64", "1,000", "spread", "× floor"]
    );
    assert_eq!(table.rows.len(), results.subjects.len());
    assert_eq!(table.rows[1][0], "callbacks");
    assert_eq!(table.rows[1][5], "1.50");
    assert_eq!(table.rows[9][3], "void");
    assert!(
        table.notes[1].starts_with("Noise: callbacks and callbacks again are the same program")
    );
}

#[test]
fn markdown_escapes_the_names_of_subjects() {
    let results = with(sample::keep_alive());
    let text = report::markdown(&Analysis::of(&results, &results.scenarios[0]));
    assert_says(
        &text,
        &[
            "| python &lt;asyncio> &amp; \"co\" | 22.5 (22.3–22.6) |",
            "|---|---:|",
        ],
    );
    let columns = |line: &str| line.matches('|').count();
    let widths: Vec<usize> = text.lines().map(columns).collect();
    assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
}

#[test]
fn a_difference_between_two_runs_counts_only_beyond_the_noise() {
    use measure::analysis::against;
    let before = with(sample::keep_alive());
    let mut now = before.clone();
    for row in &mut now.scenarios[0].rows {
        // The machine is a third slower in all, and one subject has changed by itself.
        let own = if row.subject == "streams" { 1.2 } else { 1.0 };
        row.values
            .entry("cpu_us".to_owned())
            .and_modify(|cpu| *cpu *= 1.33 * own);
    }
    let differences = against(&now, &before);
    let real = differences
        .iter()
        .filter(|difference| difference.comparison.is_real());
    let real: Vec<&str> = real.map(|difference| difference.subject.as_str()).collect();
    assert_eq!(
        real,
        ["floor", "streams"],
        "the floor itself shows the machine"
    );
    let streams = differences
        .iter()
        .find(|difference| difference.subject == "streams")
        .unwrap();
    assert!(streams.to_floor);
    assert!((streams.comparison.ratio.unwrap() - 1.2).abs() < 0.01);
}
