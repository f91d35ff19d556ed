//! `measure`: what it prints and keeps, what it refuses, interrupts, and other programs as subjects.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::support::{Folder, PYTHON, Process, has_python, quatrain, run};

fn results(folder: &Folder) -> Value {
    let text = std::fs::read_to_string(folder.path("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The rows of the only scenario.
fn rows(results: &Value) -> &Vec<Value> {
    assert_eq!(results["scenarios"].as_array().unwrap().len(), 1);
    results["scenarios"][0]["rows"].as_array().unwrap()
}

#[test]
fn a_scenario_prints_a_table_and_keeps_its_rows() {
    let folder = Folder::with(&[]);
    let out = folder.as_str();
    let scenario = ["measure", "--scenario", "slow-poems", "--models", "streams"];
    let few = ["--rounds", "1", "--seed", "7", "--out", out];
    let measured = run(&[&scenario[..], &few].concat());
    assert_eq!(measured.status, Some(0), "{measured:?}");
    let warning = "Only 1 round: too few for a spread";
    assert!(measured.stdout.contains(warning), "{}", measured.stdout);
    assert!(measured.stderr.contains(warning), "{}", measured.stderr);
    for word in ["slow-poems", "floor", "streams", "seed 7", out] {
        assert!(
            measured.stdout.contains(word),
            "{word}: {}",
            measured.stdout
        );
    }
    let results = results(&folder);
    assert_eq!(rows(&results).len(), 3, "the floor, and the model twice");
    assert_eq!(results["runs"][0]["complete"], true);
    let command = "quatrain measure --scenario slow-poems --models streams --rounds 1 --seed 7";
    assert_eq!(results["runs"][0]["command"], command);
    for file in ["rows/slow-poems.csv", "environment.txt"] {
        assert!(!std::fs::read(folder.path(file)).unwrap().is_empty());
    }

    let other = Folder::with(&[]);
    let beside = ["--rounds", "1", "--out", other.as_str(), "--baseline", out];
    let compared = run(&[&scenario[..], &beside].concat());
    assert_eq!(compared.status, Some(0), "{compared:?}");
    let (_, table) = compared.stdout.split_once("report.html\n").unwrap();
    // One round calls no difference.
    assert!(
        table.contains("No difference is real"),
        "{}",
        compared.stdout
    );

    let again = run(&[&scenario[..], &few].concat());
    assert_eq!((again.status, again.stdout.as_str()), (Some(2), ""));
    let line = again.only_line();
    assert!(
        line.contains("results of another run") && line.contains("--resume"),
        "{line}"
    );
}

/// The scenarios that need real servers or clients, each with its main metric.
const ON_REAL_SERVERS: [(&str, &str); 8] = [
    ("fan-out", "to_ideal"),
    ("fast-poems", "cpu_us"),
    ("proxy-hit", "cpu_us"),
    ("proxy-miss", "cpu_us"),
    ("mixed", "p99"),
    ("mixed-offload", "p99"),
    ("overload", "p99"),
    ("cancel", "cpu_us"),
];

#[test]
fn every_scenario_on_real_servers_has_its_main_metric_in_every_row() {
    // A command for each, so that the deadline of a command is that of one scenario.
    for (name, metric) in ON_REAL_SERVERS {
        let folder = Folder::with(&[]);
        let words = ["measure", "--scenario", name, "--models", "streams"];
        let few = ["--rounds", "1", "--seed", "7", "--out", folder.as_str()];
        let measured = run(&[&words[..], &few].concat());
        assert_eq!(measured.status, Some(0), "{measured:?}");
        let results = results(&folder);
        let rows = rows(&results);
        let metrics = &results["scenarios"][0]["metrics"];
        assert_eq!(metrics[0]["name"], metric, "{name}");
        assert!(rows.len() >= 2, "{name}: the model twice");
        for row in rows {
            assert!(row["void"].is_null(), "{name}: {row}");
            // Only Linux tells what a process costs.
            if metric != "cpu_us" || cfg!(target_os = "linux") {
                assert!(row["values"][metric].as_f64() > Some(0.0), "{name}: {row}");
            }
        }
        if name == "cancel" {
            let leave = |row: &Value| row["point"].as_f64() > Some(0.0);
            let left = |row: &Value| row["values"]["left"].as_f64() > Some(0.0);
            assert!(rows.iter().all(|row| leave(row) == left(row)), "{rows:?}");
            // The bare loop does not count.
            let counts = |row: &Value| !row["subject"].as_str().unwrap().starts_with("bare");
            let wasted = |row: &Value| row["values"]["wasted"].as_f64() > Some(0.0);
            let agree = |row: &Value| wasted(row) == (leave(row) && counts(row));
            assert!(rows.iter().all(agree), "{rows:?}");
        }
    }
}

#[test]
fn an_interrupted_run_keeps_its_rows_and_is_resumed() {
    let folder = Folder::with(&[]);
    let measure = |rounds, more: &[&'static str]| {
        let words = [
            "measure",
            "--scenario",
            "slow-poems",
            "--models",
            "blocking",
            "--seed",
            "3",
        ];
        let where_to = ["--rounds", rounds, "--out", folder.as_str()];
        quatrain([&words[..], &where_to, more].concat())
    };
    let mut process = Process::start(measure("500", &[]));
    process.wait_for("slow-poems");
    // A row is kept once the folder has results.
    let deadline = std::time::Instant::now() + super::support::DEADLINE;
    while !std::path::Path::new(&folder.path("results.json")).exists() {
        assert!(std::time::Instant::now() < deadline, "no row is kept");
        std::thread::yield_now();
    }
    process.signal(Signal::SIGINT);
    let ended = process.end();
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("interrupted; ") && ended.stderr.contains("--resume"));
    let cut = results(&folder);
    assert_eq!(cut["runs"][0]["complete"], false);
    let kept = rows(&cut).len();
    assert!(kept >= 1);

    let resumed = run_command(measure("1", &["--resume"]));
    assert_eq!(resumed.status, Some(0), "{}", resumed.stderr);
    let whole = results(&folder);
    assert_eq!(whole["runs"][0]["complete"], true);
    assert_eq!(&rows(&whole)[..kept], &rows(&cut)[..]);
    assert!(rows(&whole).len() >= 4);
}

fn run_command(command: std::process::Command) -> super::support::Ended {
    Process::start(command).end()
}

#[test]
fn a_subject_that_does_not_serve_is_void_and_visible() {
    let folder = Folder::with(&[]);
    let ended = run(&[
        "measure",
        "--scenario",
        "slow-poems",
        "--models",
        "streams",
        "--rounds",
        "1",
        "--subject",
        "mute=true {fetch}",
        "--out",
        folder.as_str(),
    ]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let void = "it printed 0 bytes";
    assert!(
        ended
            .stderr
            .contains(&format!("void: slow-poems, mute: {void}"))
    );
    assert!(ended.stdout.contains(void), "{}", ended.stdout);
}

#[test]
fn wrong_usage_names_the_culprit() {
    for (words, culprit) in [
        (&["--scenario", "nonsense"][..], "nonsense"),
        (&["--subject", "nameless"], "write NAME=CMD"),
        (&["--subject", "a b=x"], "may only contain"),
        (
            &["--subject", "py=s.py {prt} {mode}"],
            "{prt} is no placeholder; these are: {mode} {port}",
        ),
        (&["--subject", "sh=sh -c 'exit"], "a quote"),
        (
            &["--subject", "floor=x {port}"],
            "there is a subject floor already",
        ),
        (&["--resume", "--out", "/nowhere"], "/nowhere/results.json"),
        (&["--baseline", "/nowhere"], "/nowhere/results.json"),
    ] {
        let ended = run(&[&["measure"], words].concat());
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
        assert!(ended.only_line().contains(culprit), "{}", ended.stderr);
    }
}

#[test]
fn the_list_says_what_each_scenario_teaches() {
    let list = run(&["measure", "--list"]);
    assert_eq!((list.status, list.stderr.as_str()), (Some(0), ""));
    for name in ["transform-keepalive", "slow-poems", "idle"] {
        assert!(
            list.stdout.lines().any(|line| line.starts_with(name)),
            "{name}"
        );
    }
    assert!(list.stdout.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn a_server_in_python_is_measured_and_a_wrong_one_is_void() {
    if !has_python("a_server_in_python_is_measured_and_a_wrong_one_is_void") {
        return;
    }
    let folder = Folder::with(&[]);
    let right = format!("right=python3 {PYTHON} {{port}} {{mode}}");
    let wrong = format!("wrong=python3 {PYTHON} {{port}} {{mode}} --wrong");
    let words = [
        "measure",
        "--scenario",
        "transform-keepalive",
        "--models",
        "blocking",
    ];
    let subjects = ["--subject", &right, "--subject", &wrong];
    let few = ["--rounds", "1", "--out", folder.as_str()];
    let ended = run(&[&words[..], &subjects, &few].concat());
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("void: transform-keepalive, wrong: "),
        "{}",
        ended.stderr
    );
    let results = results(&folder);
    let row = |name| {
        let rows = rows(&results).iter();
        rows.clone().find(|row| row["subject"] == name).unwrap()
    };
    assert!(row("right")["values"]["rate"].as_f64() > Some(0.0));
    assert!(row("wrong")["void"].is_string() && row("wrong")["values"]["rate"].is_null());
}
