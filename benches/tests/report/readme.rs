//! The README's figures are those of the bundle in `docs/measured`, of which the repository keeps `results.json` and the picture.
//!
//! A full run and these figures again:
//!
//! ```sh
//! rm -rf docs/measured && cargo run --release -- measure --full --out docs/measured &&
//!     QUATRAIN_BLESS=1 cargo test -p quatrain-benches --test report readme
//! ```

use std::fs;
use std::path::Path;

use measure::analysis::{Analysis, finding};
use measure::bundle;
use measure::plot::{self, Histograms, Text, Width};
use measure::report::{self, Columns};
use measure::results::Results;

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
        "| callbacks | 3.74 (3.71–3.78) | 1.50",
        "quatrain measure --full --seed 7",
        "neither side pinned; seed 7",
    ] {
        assert!(section.contains(words), "no {words} in {section}");
    }
    assert!(picture.starts_with("<svg ") && picture.contains("<style>"));
}

/// Returns the section of the README, and the picture.
fn section_of(results: &Results) -> (String, String) {
    let scenario = results
        .scenarios
        .iter()
        .find(|scenario| scenario.name == SCENARIO);
    let scenario = scenario.expect("the bundle has the scenario of the README");
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
    let mut section = format!("## Measured\n\n{}\n\n", scenario.question);
    section += &format!("![{title}]({FOLDER}/{SCENARIO}.svg)\n\n{sentences}\n\n");
    section += &format!(
        "{title}, with the spread over all rounds:\n\n{}\n",
        report::markdown(&analysis, Columns::Main)
    );
    section += &format!(
        "{} The whole run, whose rows are in [`{FOLDER}`]({FOLDER}/results.json):\n\n```\n",
        scenario.method
    );
    for run in &results.runs {
        section += &format!("{}\n{}\n", run.command, run.environment);
    }
    section += "```\n";
    (section, picture)
}
