//! `quatrain report`: tables, page, plot, Markdown, merging, and errors that name the file.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::support::{Folder, run};

/// Every run has a seed of its own.
static SEED: AtomicU64 = AtomicU64::new(7);

/// Results of one scenario with two models and the floor, in four rounds; actors take `actors` µs.
fn results(actors: f64) -> Value {
    let subject = |name: &str, kind: &str| json!({"name": name, "kind": kind, "baseline": null, "again": null, "command": "quatrain serve transform"});
    let mut rows = Vec::new();
    for round in 0..4 {
        let noise = 1.0 + f64::from(round) * 0.002;
        for (name, cpu) in [("floor", 2.5), ("callbacks", 3.75), ("actors", actors)] {
            rows.push(json!({
                "run": 0, "round": round, "subject": name, "point": 0.0,
                "values": {"cpu_us": cpu * noise}, "histogram": null, "void": null,
            }));
        }
    }
    json!({
        "format": 2,
        "runs": [{
            "command": "quatrain measure", "tool": "quatrain 0.1.0", "complete": true,
            "environment": {
                "processor": "A processor", "cores": 2, "kernel": "linux", "governor": null, "descriptors": 1024,
                "backlog": 4096, "busy": "0.10", "compiler": null, "profile": "release, opt-level 3", "commit": null,
                "date": "2026-11-23 01:30:00 UTC", "pinning": {"server": 0, "client": 1}, "seed": SEED.fetch_add(1, Ordering::Relaxed),
            },
        }],
        "subjects": [subject("floor", "floor"), subject("callbacks", "model"), subject("actors", "model")],
        "scenarios": [{
            "name": "transform-keepalive", "question": "What does a request cost?", "lesson": "It depends.",
            "method": "64 connections.", "command": "quatrain measure --scenario transform-keepalive", "axis": null,
            "metrics": [{"name": "cpu_us", "title": "CPU per request", "unit": "µs", "better": "lower"}],
            "figures": [{"kind": "bars", "metric": "cpu_us"}], "rows": rows,
        }],
    })
}

fn write(folder: String, results: &Value) -> String {
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/results.json"), results.to_string()).unwrap();
    folder
}

#[test]
fn results_become_tables_and_a_page_beside_them() {
    let scratch = Folder::with(&[]);
    let folder = scratch.path("results");
    let shown = run(&["report", &write(folder.clone(), &results(4.5))]);
    assert_eq!((shown.status, shown.stderr.as_str()), (Some(0), ""));
    for words in [
        "transform-keepalive",
        "callbacks has the lowest CPU per request",
        "1.50",
        "Report: ",
    ] {
        assert!(
            shown.stdout.contains(words),
            "no {words} in {}",
            shown.stdout
        );
    }
    let page = fs::read_to_string(format!("{folder}/report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
}

#[test]
fn results_without_their_histograms_are_shown_with_a_warning() {
    let scratch = Folder::with(&[]);
    let mut results = results(4.5);
    let scenario = &mut results["scenarios"][0];
    scenario["rows"][0]["histogram"] = json!("0-0-floor");
    let figures = scenario["figures"].as_array_mut().unwrap();
    figures.push(json!({"kind": "percentiles", "at": 0}));
    let shown = run(&["report", &write(scratch.path("results"), &results)]);
    assert_eq!((shown.status, shown.stderr.as_str()), (Some(0), ""));
    let text = shown.stdout.replace('\n', " ");
    let warning = "Warning: no histograms are in the folder, so that percentiles are not drawn: transform-keepalive. Report: ";
    assert!(text.contains(warning), "{text}");
}

#[test]
fn the_oldest_format_is_read_and_merged_into_the_newest() {
    let scratch = Folder::with(&[]);
    let mut old = results(4.5);
    old["format"] = json!(1);
    let scenario = old["scenarios"][0].as_object_mut().unwrap();
    let figures = scenario.remove("figures").unwrap();
    scenario.insert("figure".to_owned(), figures[0].clone());
    let old = write(scratch.path("old"), &old);
    let new = write(scratch.path("new"), &results(4.5));
    let out = scratch.path("both");
    let merged = run(&["report", &old, &new, "--out", &out]);
    assert_eq!((merged.status, merged.stderr.as_str()), (Some(0), ""));
    let text = fs::read_to_string(format!("{out}/results.json")).unwrap();
    let merged: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(merged["format"], 2);
    assert_eq!(merged["scenarios"][0]["figures"], figures);
}

#[test]
fn a_plot_and_a_table_of_one_scenario_are_printed_alone() {
    let scratch = Folder::with(&[]);
    let folder = scratch.path("results");
    let folder = write(folder.clone(), &results(4.5));
    let svg = run(&["report", &folder, "--svg", "transform-keepalive"]).stdout;
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    let table = run(&["report", &folder, "--markdown", "transform-keepalive"]).stdout;
    assert!(
        table.contains("| callbacks | 3.76 (3.75–3.77) | 1.50 |"),
        "{table}"
    );
    assert!(!Path::new(&folder).join("report.html").exists());
    let first = run(&["report", &folder, "--svg", "transform-keepalive:1"]);
    assert_eq!(first.stdout, svg);
    for number in ["0", "2", "x"] {
        let wanted = format!("transform-keepalive:{number}");
        let beyond = run(&["report", &folder, "--svg", &wanted]);
        let line = format!("quatrain: transform-keepalive has 1 plot: there is no {wanted}");
        assert_eq!(
            (beyond.status, beyond.only_line()),
            (Some(2), line.as_str())
        );
    }
    let unknown = run(&["report", &folder, "--svg", "idle"]);
    assert_eq!(unknown.status, Some(2));
    assert_eq!(
        unknown.only_line(),
        "quatrain: these results have no scenario idle; they have transform-keepalive"
    );
}

#[test]
fn several_folders_are_merged_into_a_new_one() {
    let scratch = Folder::with(&[]);
    let folder = scratch.path("results");
    let (one, other) = (
        write(folder.clone(), &results(4.5)),
        write(scratch.path("other"), &results(4.5)),
    );
    let out = scratch.path("both");
    let unnamed = run(&["report", &one, &other]);
    assert_eq!(unnamed.status, Some(2));
    assert!(unnamed.only_line().contains("name it by --out"));
    let merged = run(&["report", &one, &other, "--out", &out]);
    assert_eq!((merged.status, merged.stderr.as_str()), (Some(0), ""));
    let text = fs::read_to_string(format!("{out}/results.json")).unwrap();
    let merged: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(merged["runs"].as_array().unwrap().len(), 2);
    assert_eq!(merged["scenarios"][0]["rows"].as_array().unwrap().len(), 24);
    let again = run(&["report", &one, &other, "--out", &out]);
    assert_eq!(again.status, Some(2), "results are never overwritten");
    assert!(again.only_line().contains("results.json"));
}

#[test]
fn a_baseline_shows_which_differences_are_real() {
    let scratch = Folder::with(&[]);
    let folder = scratch.path("results");
    let before = write(scratch.path("before"), &results(4.5));
    let now = write(folder.clone(), &results(5.4));
    let shown = run(&["report", &now, "--baseline", &before]).stdout;
    let line = shown
        .lines()
        .find(|line| line.starts_with("actors"))
        .expect(&shown);
    assert!(
        line.contains("20 % more than before") && line.ends_with("worse"),
        "{shown}"
    );
    assert!(
        !shown.lines().any(|line| line.starts_with("callbacks")),
        "{shown}"
    );
    assert!(shown.contains("Too close to call: 2 of 3."), "{shown}");
}

#[test]
fn an_error_names_the_file_and_what_is_wrong_with_it() {
    let scratch = Folder::with(&[]);
    let folder = scratch.path("results");
    let path = folder.clone();
    let mut newer = results(4.5);
    newer["format"] = json!(99);
    let whole = results(4.5).to_string();
    for (text, words) in [
        (None, "no such file"),
        (Some(newer.to_string()), "its format is 99"),
        (
            Some(whole[..whole.len() / 2].to_owned()),
            "cut in its first line",
        ),
        (
            Some(format!("{{\n{}", &whole[1..40])),
            "cut in line 2; copy it again",
        ),
        (Some(String::new()), "it is empty or cut"),
        (
            Some("<html>".to_owned()),
            "line 1 is no JSON; name a folder",
        ),
        (
            Some("{\n}".to_owned()),
            "line 2 is not as `quatrain measure` writes it: missing field `format`; name a folder",
        ),
        (
            Some("{\"format\": 1,\n\"runs\": 3}".to_owned()),
            "line 2 is not as `quatrain measure` writes it: invalid type: integer `3`",
        ),
    ] {
        fs::create_dir_all(&folder).unwrap();
        if let Some(text) = text {
            fs::write(format!("{folder}/results.json"), text).unwrap();
        }
        let failed = run(&["report", &path]);
        assert_eq!((failed.status, failed.stdout.as_str()), (Some(2), ""));
        let line = failed.only_line();
        assert!(
            line.contains("results.json: ") && line.contains(words),
            "{line}"
        );
    }
}
