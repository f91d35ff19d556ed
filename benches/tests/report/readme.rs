//! The README's figures are those of the bundle in `docs/measured`, of which the repository keeps `results.json` and the picture.
//!
//! A full run and these figures again (further rounds of a scenario may be merged by `quatrain report A B --out C`):
//!
//! ```sh
//! rm -rf docs/measured && cargo run --release -- measure --full --out docs/measured &&
//!     QUATRAIN_BLESS=1 cargo test -p quatrain-benches --test report readme
//! ```

use std::fs;
use std::path::Path;

use measure::analysis::{Analysis, Place, finding, words};
use measure::bundle;
use measure::plot::{self, Histograms, Text, Width};
use measure::report::{self, Columns};
use measure::results::{Entrant, Results};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FOLDER: &str = "docs/measured";
/// The scenario of the main table and the picture.
const SCENARIO: &str = "transform-keepalive";
const BEGIN: &str = "<!-- measured: written by a test, see benches/tests/report/readme.rs -->\n";
const END: &str = "<!-- end of measured -->\n";

#[test]
fn the_figures_of_the_readme_are_those_of_the_bundle() {
    let folder = Path::new(ROOT).join(FOLDER);
    let readme = fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let (before, rest) = readme
        .split_once(BEGIN)
        .expect("README.md has a place for figures");
    let (shown, after) = rest.split_once(END).expect("the place for figures ends");
    if !folder.join(bundle::RESULTS).exists() {
        assert_eq!(shown, "", "the README has figures that come from no bundle");
        println!("skipped: {FOLDER} has no results yet");
        return;
    }
    let results = bundle::read_results(&folder.join(bundle::RESULTS)).unwrap();
    let (section, picture) = section_of(&results);
    let file = folder.join(format!("{SCENARIO}.svg"));
    if std::env::var_os("QUATRAIN_BLESS").is_some() {
        fs::write(&file, &picture).unwrap();
        fs::write(
            format!("{ROOT}/README.md"),
            format!("{before}{BEGIN}{section}{END}{after}"),
        )
        .unwrap();
        return;
    }
    let advice =
        "write it again by QUATRAIN_BLESS=1 cargo test -p quatrain-benches --test report readme";
    assert!(shown == section, "README.md is not current; {advice}");
    assert!(
        fs::read_to_string(&file).unwrap() == picture,
        "{} is not current; {advice}",
        file.display()
    );
}

#[test]
fn the_section_has_the_picture_the_finding_the_table_and_the_environment() {
    let (section, picture) = section_of(&crate::sample::results());
    for words in [
        "](docs/measured/transform-keepalive.svg)",
        "callbacks and streams are too close to call",
        "| callbacks | – | 1,010 B (997–1,025 B) | 1.17 (1.16–1.18) |",
        "are the same program; they differ by",
        "quatrain measure --full --seed 7",
        "neither side pinned; seed 7",
    ] {
        assert!(section.contains(words), "no {words} in {section}");
    }
    assert!(picture.starts_with("<svg ") && picture.contains("<style>"));
}

/// A column of the main table: a scenario, where on its axis, and its title.
struct Column {
    scenario: &'static str,
    place: Place,
    /// Whether figures are relative to the floor.
    to_floor: bool,
    title: &'static str,
}

/// The columns of the main table; those that the results lack are left out.
const COLUMNS: [Column; 6] = [
    Column {
        scenario: "transform-keepalive",
        place: Place::Point(64.0),
        to_floor: true,
        title: "CPU ÷ floor, keep-alive, 64 connections",
    },
    Column {
        scenario: "pipelined",
        place: Place::Point(16.0),
        to_floor: true,
        title: "CPU ÷ floor, 16 pipelined",
    },
    Column {
        scenario: "transform-oneshot",
        place: Place::Point(64.0),
        to_floor: true,
        title: "CPU ÷ floor, one-shot",
    },
    Column {
        scenario: "idle",
        place: Place::Slope,
        to_floor: false,
        title: "memory of an idle connection",
    },
    Column {
        scenario: "slow-poems",
        place: Place::Point(10_000.0),
        to_floor: false,
        title: "10,000 slow poems ÷ ideal",
    },
    Column {
        scenario: "mixed",
        place: Place::Point(0.0),
        to_floor: false,
        title: "p99 beside 1 % that compute 10 ms",
    },
];

/// Returns the main table: every subject in the scenarios of [`COLUMNS`], medians with their spread.
fn summary(results: &Results) -> String {
    let analysed = |column: &'static Column| {
        let scenario = results.scenario(column.scenario)?;
        Some((column, Analysis::of(results, scenario)))
    };
    let columns: Vec<(&Column, Analysis<'_>)> = COLUMNS.iter().filter_map(analysed).collect();
    let mut text = "| |".to_owned();
    text.extend(
        columns
            .iter()
            .map(|(column, _)| format!(" {} |", column.title)),
    );
    text += &format!("\n|---|{}\n", "---:|".repeat(columns.len()));
    for subject in &results.subjects {
        let cells = columns
            .iter()
            .map(|(column, analysis)| cell(column, analysis, subject));
        text += &format!("| {} |{}\n", subject.name, cells.collect::<String>());
    }
    text
}

fn cell(column: &Column, analysis: &Analysis<'_>, subject: &Entrant) -> String {
    let shown = || {
        let (metric, _) = analysis.main()?;
        let (spread, unit) = match column.to_floor {
            true => (analysis.to_floor(subject, metric, column.place)?, ""),
            false => (
                analysis.spread(&subject.name, metric, column.place)?,
                &*metric.unit,
            ),
        };
        let unit = if unit == "×" { "" } else { unit };
        let median = words::value(spread.median, unit);
        Some(format!(
            " {median} ({}) |",
            words::range(spread.low, spread.high, unit)
        ))
    };
    shown().unwrap_or_else(|| " – |".to_owned())
}

/// Returns the section of the README, and the picture.
fn section_of(results: &Results) -> (String, String) {
    let scenario = results
        .scenario(SCENARIO)
        .expect("the bundle has the scenario of the README");
    let analysis = Analysis::of(results, scenario);
    let figure = &scenario.figures[0];
    let title = report::title(&analysis, figure);
    let sentences = finding(&analysis).join(" ");
    // The first figure of the README's scenario draws rows, not histograms.
    let histograms = Histograms::new();
    let text = Text {
        id: "plot",
        title: &title,
        description: &sentences,
    };
    let svg = plot::plot(&analysis, figure, &histograms, Width::Wide, &text);
    let picture = plot::file(&svg.expect("the scenario has rows"));
    let mut section = "## Measured\n\nMedians, with the lowest and the highest round. ÷ floor: relative to the floor of the same \
                       round; a figure below 1 is noise or, one-shot, a cheaper close: the models send the reply and FIN in one \
                       segment, and bare loops do not wait for the client's FIN (S7).\n\n"
        .to_owned();
    section += &summary(results);
    section.push('\n');
    for warning in report::warnings(results) {
        section += &format!("Note: {warning}\n\n");
    }
    section += &format!("{}\n\n", scenario.question);
    section += &format!("![{title}]({FOLDER}/{SCENARIO}.svg)\n\n");
    // The finding, the reason, the noise and the method.
    for note in report::scenario(&analysis, Columns::Main).notes {
        section += &format!("{note}\n\n");
    }
    section += &format!("All rows are in [`{FOLDER}`]({FOLDER}/results.json):\n\n```\n");
    for run in &results.runs {
        section += &format!("{}\n{}\n", run.command, run.environment);
    }
    section += "```\n";
    (section, picture)
}
