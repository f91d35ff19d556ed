//! The page: complete, self-contained, readable without sight or colour, and safe whatever subjects are called.

use std::collections::{BTreeMap, BTreeSet};

use measure::analysis::Analysis;
use measure::plot::{self, Histograms, Text, Width};
use measure::report;

use crate::sample;

fn page() -> String {
    report::page(&sample::results(), &sample::histograms())
}

/// Returns the values of every `attribute` in `page`.
fn values<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
    let begin = format!(" {attribute}=\"");
    let after = page.split(&begin).skip(1);
    after.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn needs_no_network_and_no_scripts() {
    let page = page();
    for word in [
        "<script", "<link", " src=", "url(", "@import", "https:", "<iframe", " onload=",
    ] {
        assert!(!page.contains(word), "the page contains {word}");
    }
    let namespaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
    assert_eq!(page.matches("http:").count(), namespaces);
}

#[test]
fn shows_every_scenario_with_question_finding_plots_tables_and_command() {
    let (results, page) = (sample::results(), page());
    for scenario in &results.scenarios {
        let heading = format!("<h2 id=\"scenario-{0}\">{0}</h2>", scenario.name);
        let (_, section) = page.split_once(&heading).expect("a section");
        let (section, _) = section.split_once("</section>").expect("its end");
        let analysis = Analysis::of(&results, scenario);
        let finding = measure::analysis::finding(&analysis).swap_remove(0);
        let why = measure::analysis::why(&analysis);
        // In the other scenarios it may be too close to call.
        assert!(why.is_some() || scenario.name != "transform-keepalive");
        for text in [
            &scenario.question,
            &finding,
            &scenario.lesson,
            &scenario.method,
            &scenario.command,
        ]
        .into_iter()
        .chain(&why)
        {
            let text = text
                .replace('<', "&lt;")
                .replace('"', "&quot;")
                .replace(" & ", " &amp; ");
            assert!(
                section.contains(&text.replace("&quot;", "\"")) || section.contains(&text),
                "{text}"
            );
        }
        assert_eq!(
            section.matches("<svg class=\"plot wide\"").count(),
            scenario.figures.len(),
            "{}",
            scenario.name
        );
        assert_eq!(
            section.matches("<svg class=\"plot narrow\"").count(),
            scenario.figures.len(),
            "{}",
            scenario.name
        );
        assert!(section.contains("<caption>"), "{}", scenario.name);
    }
}

#[test]
fn escapes_what_users_call_their_subjects() {
    let mut results = sample::results();
    let name = "</title><script>alert(1)</script>\u{1}";
    results.subjects[4].name = name.to_owned();
    for row in results
        .scenarios
        .iter_mut()
        .flat_map(|scenario| &mut scenario.rows)
    {
        if row.subject == "blocking" {
            row.subject = name.to_owned();
        }
    }
    results.scenarios[0].name = "\"><script>".to_owned();
    let page = report::page(&results, &sample::histograms());
    assert!(!page.contains("<script"), "a name became an element");
    assert!(page.contains("&lt;script&gt;"));
    let opened = page.matches("<svg").count();
    assert_eq!((opened, page.matches("</svg>").count()), (opened, opened));
}

#[test]
fn every_reference_has_its_target_and_every_id_is_unique() {
    let page = page();
    let ids = values(&page, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len());
    let labelled = values(&page, "aria-labelledby");
    for id in labelled.iter().flat_map(|ids| ids.split(' ')) {
        assert!(unique.contains(id), "no element is called {id}");
    }
    for link in values(&page, "href") {
        let id = link.strip_prefix('#').expect("a link within the page");
        assert!(unique.contains(id), "no element is called {id}");
    }
}

#[test]
fn tables_and_plots_are_described() {
    let page = page();
    let count = |words: &str| page.matches(words).count();
    assert_eq!(count("<table>"), count("<caption>"));
    assert_eq!(count("<th "), count("<th scope="));
    assert_eq!(
        count("<table>"),
        count("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=")
    );
    let plots = count("<svg class=\"plot wide\"") + count("<svg class=\"plot narrow\"");
    assert_eq!(plots, count("role=\"img\""));
    assert_eq!((plots, plots), (count("<title id="), count("<desc id=")));
}

#[test]
fn warns_of_what_makes_figures_doubtful() {
    let mut results = sample::results();
    results.runs[0].complete = false;
    results.runs[0].environment.busy = Some("9.50".to_owned());
    results.runs[0].environment.cores = Some(2);
    results.runs[0].environment.profile = Some("debug, opt-level 0".to_owned());
    results.scenarios[0].rows.retain(|row| row.round < 2);
    let warnings = report::warnings(&results).join("\n");
    for words in [
        "The run is incomplete",
        "load average 9.5 on 2 cores",
        "the profile debug",
        "Void: python <asyncio> & \"co\" in transform-connections.",
        "Fewer than 3 rounds, so that no difference can be called: transform-keepalive.",
    ] {
        assert!(warnings.contains(words), "no {words:?} in:\n{warnings}");
    }
    results.runs[0].environment.busy = Some("0.10".to_owned());
    assert!(!report::warnings(&results).join("\n").contains("busy"));
}

#[test]
fn results_without_rows_or_histograms_still_make_a_page() {
    let mut results = sample::results();
    let without = report::page(&results, &BTreeMap::new());
    assert!(without.contains("id=\"scenario-overload\""));
    for scenario in &mut results.scenarios {
        scenario.rows.clear();
    }
    let empty = report::page(&results, &BTreeMap::new());
    assert!(empty.contains("Nothing was measured."));
}

#[test]
fn lines_through_one_point_are_bars_and_the_caption_says_so() {
    let mut results = sample::results();
    results.scenarios = vec![sample::slow_poems()];
    results.scenarios[0].rows.retain(|row| row.point == 100.0);
    let analysis = Analysis::of(&results, &results.scenarios[0]);
    assert!(
        report::caption(&analysis, &results.scenarios[0].figures[0])
            .starts_with("Bars are medians")
    );
    let page = report::page(&results, &BTreeMap::new());
    assert!(page.contains("Bars are medians"));
    assert!(page.contains("<rect "), "no bar is drawn");
}

#[test]
fn a_subject_looks_the_same_in_every_plot() {
    let results = sample::results();
    let histograms = sample::histograms();
    let none = Histograms::new();
    let callbacks = measure::plot::swatch(&results, &results.subjects[1]);
    assert!(callbacks.contains("class=\"s1 d0\""), "{callbacks}");
    for scenario in &results.scenarios {
        let of = histograms.get(&scenario.name).unwrap_or(&none);
        let analysis = Analysis::of(&results, scenario);
        for figure in &scenario.figures {
            let text = Text {
                id: "p",
                title: "title",
                description: "description",
            };
            let svg = plot::plot(&analysis, figure, of, Width::Wide, &text).unwrap();
            for (class, name) in [("f1", "callbacks"), ("s1 d1", "bare mio")] {
                assert!(
                    svg.contains(&format!("class=\"{class}\"")),
                    "{} draws no {name}",
                    scenario.name
                );
            }
            assert!(!svg.contains("#F1") && !svg.contains("#F2") && !svg.contains("#F3"));
            let file = plot::file(&svg);
            assert!(file.contains("prefers-color-scheme: dark") && file.ends_with("</svg>\n"));
        }
    }
}

#[test]
fn percentiles_are_drawn_beside_lines_and_read_out() {
    let (mut results, histograms) = (sample::results(), sample::histograms());
    results.scenarios = vec![sample::overload()];
    let page = report::page(&results, &histograms);
    assert!(page.contains("Latency by percentile at 100,000 requests/s"));
    let words = "callbacks answers half of the requests within ";
    assert_eq!(page.matches(words).count(), 2, "for a desk and for a phone");
    // Without histograms only the lines are drawn.
    let without = report::page(&results, &BTreeMap::new());
    assert_eq!(without.matches("<svg class=\"plot wide\"").count(), 1);
    // Bars stand for percentiles that are the only figure.
    results.scenarios[0].figures.remove(0);
    let without = report::page(&results, &BTreeMap::new());
    assert_eq!(without.matches("<svg class=\"plot wide\"").count(), 1);
}

/// Web Content Accessibility Guidelines 1.4.3 and 1.4.11: text 4.5, graphics 3.
#[test]
fn colours_have_enough_contrast_in_light_dark_and_print() {
    let palettes: Vec<&str> = plot::STYLE.split(":root {").skip(1).collect();
    assert_eq!(palettes.len(), 3);
    for palette in palettes {
        let palette = palette.split('}').next().unwrap();
        let colour = |name: &str| {
            let (_, value) = palette.split_once(&format!("--{name}: #")).expect(name);
            u32::from_str_radix(&value[..6], 16).unwrap()
        };
        let paper = colour("paper");
        for (name, least) in [("ink", 7.0), ("muted", 4.5)] {
            assert!(
                contrast(colour(name), paper) >= least,
                "{name} in {palette}"
            );
        }
        for hue in 0..=8 {
            let name = format!("hue{hue}");
            assert!(contrast(colour(&name), paper) >= 4.5, "{name} in {palette}");
        }
    }
}

fn contrast(one: u32, other: u32) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: u32) -> f64 {
    let channel = |shift: u32| {
        let value = f64::from(colour >> shift & 0xff) / 255.0;
        match value <= 0.04045 {
            true => value / 12.92,
            false => ((value + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
}
