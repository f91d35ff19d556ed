//! Findings and tables: what the rows say, in words.

use measure::analysis::{Analysis, finding};
use measure::report::{self, Columns};
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
fn every_model_is_compared_with_its_bare_loop_and_the_reason_follows_if_one_is_behind() {
    let mut results = with(sample::keep_alive());
    assert_says(
        &found(&results),
        &[
            "Beside the bare loops: callbacks has 15 % more than bare mio (",
            "; actors has 10 % less than bare actor (",
            "; streams has 5.",
            "; blocking has 4.",
        ],
    );
    let why = measure::analysis::why(&Analysis::of(&results, &results.scenarios[0]));
    let reason = format!("Why callbacks and blocking are behind: {}", sample::REASON);
    assert_eq!(why.as_deref(), Some(reason.as_str()));

    // The bare threads cost what the model's do, and the loop over mio takes no part.
    for row in &mut results.scenarios[0].rows {
        if matches!(&*row.subject, "blocking" | "bare thread") {
            let noise = [0.1, -0.1, 0.0, 0.1, -0.1][row.round];
            let sign = if row.subject == "blocking" { 1.0 } else { -1.0 };
            row.values.insert("cpu_us".to_owned(), 6.0 + sign * noise);
        }
    }
    results.scenarios[0]
        .rows
        .retain(|row| row.subject != "bare mio");
    let text = found(&results);
    assert_says(
        &text,
        &["; blocking and bare thread are too close to call."],
    );
    assert!(!text.contains("callbacks has 15 %"), "{text}");
    let why = measure::analysis::why(&Analysis::of(&results, &results.scenarios[0]));
    assert_eq!(why, None, "no model is behind");
}

#[test]
fn details_are_columns_only_if_all_are_asked_for() {
    let mut results = with(sample::keep_alive());
    for metric in &mut results.scenarios[0].metrics {
        metric.detail = matches!(&*metric.name, "rate" | "threads");
    }
    let analysis = Analysis::of(&results, &results.scenarios[0]);
    let main = [
        "",
        "CPU per request, µs",
        "spread",
        "× floor",
        "× bare loop",
        "Peak memory",
    ];
    assert_eq!(report::scenario(&analysis, Columns::Main).header, main);
    let all = report::scenario(&analysis, Columns::All).header;
    assert_eq!(all.len(), main.len() + 2);
    let titles = |columns| {
        report::markdown(&analysis, columns)
            .lines()
            .next()
            .map(str::to_owned)
    };
    let (main, all) = (
        titles(Columns::Main).unwrap(),
        titles(Columns::All).unwrap(),
    );
    assert!(
        !main.contains("Threads") && all.contains("Threads"),
        "{main}\n{all}"
    );
    let page = report::page(&results, &sample::histograms());
    let (shown, folded) = page.split_once("<details><summary>All metrics").unwrap();
    assert!(!shown.contains(">Threads<") && folded.contains(">Threads<"));
}

#[test]
fn all_columns_of_several_points_are_grouped_by_point() {
    let results = with(sample::connections());
    let analysis = Analysis::of(&results, &results.scenarios[0]);
    let table = report::scenario(&analysis, Columns::All);
    let groups = table.rows.iter().filter(|row| row.len() == 1);
    let groups: Vec<&str> = groups.map(|row| row[0].as_str()).collect();
    assert_eq!(
        groups,
        ["1 connection", "64 connections", "1,000 connections"]
    );
    let text = report::markdown(&analysis, Columns::All);
    assert_says(&text, &["| **64 connections** | |"]);
    let columns: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
    assert!(columns.iter().all(|&count| count == columns[0]), "{text}");
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
fn a_figure_that_turns_on_the_way_says_where() {
    let mut results = with(sample::connections());
    let text = found(&results);
    assert!(!text.contains("it is lowest"), "{text}");
    let multiply = |results: &mut Results, point: f64, subject: Option<&str>, factor: f64| {
        for row in &mut results.scenarios[0].rows {
            if let Some(cpu) = row.values.get_mut("cpu_us")
                && row.point == point
                && subject.is_none_or(|subject| row.subject == subject)
            {
                *cpu *= factor;
            }
        }
    };
    multiply(&mut results, 1_000.0, None, 2.0);
    assert_says(&found(&results), &["; it is lowest at 64 connections."]);

    // A peak, of one subject only.
    multiply(&mut results, 64.0, Some("streams"), 5.0);
    let others = "; it is lowest at 64 connections for callbacks, actors";
    let one = "; it is highest at 64 connections for streams.";
    assert_says(&found(&results), &[others, one]);

    // Two rounds call nothing.
    results.scenarios[0].rows.retain(|row| row.round < 2);
    let text = found(&results);
    assert!(
        !text.contains("it is lowest") && !text.contains("it is highest"),
        "{text}"
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
    let table = report::scenario(
        &Analysis::of(&results, &results.scenarios[0]),
        Columns::Main,
    );
    assert_eq!(
        table.header,
        ["connections", "1", "64", "1,000", "spread", "× floor"]
    );
    assert_eq!(table.rows.len(), results.subjects.len());
    assert_eq!(table.rows[1][0], "callbacks");
    assert_eq!(table.rows[1][5], "1.50");
    assert_eq!(table.rows[9][3], "void");
    assert!(
        table.notes[2].starts_with("Noise: callbacks and callbacks again are the same program")
    );
}

#[test]
fn markdown_escapes_the_names_of_subjects() {
    let results = with(sample::keep_alive());
    let text = report::markdown(
        &Analysis::of(&results, &results.scenarios[0]),
        Columns::Main,
    );
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
    let mut before = with(sample::keep_alive());
    // Only the main metric has to be the same in both.
    before.scenarios[0].metrics.pop();
    let mut now = with(sample::keep_alive());
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
    now.scenarios[0].metrics[0].unit = "ms".to_owned();
    assert!(against(&now, &before).is_empty(), "of another unit");
}
