//! The runner: subjects are verified, compared with the client's ledger, and void on any fault.

use std::time::Duration;

use measure::load::{Extent, Plan};
use measure::pinning::Pinning;
use measure::runner::{self, Options, Outcome, Progress};
use measure::{Subject, report, verify};

use crate::child::subject;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("runner::every_round_has_every_entrant_once", every_round),
    (
        "runner::the_order_is_shuffled_by_its_seed",
        the_order_is_shuffled,
    ),
    (
        "runner::s23_counts_that_differ_from_the_ledger_void_the_row",
        counts_that_differ,
    ),
    (
        "runner::a_server_that_fails_verification_is_not_measured",
        fails_its_verification,
    ),
    (
        "runner::a_missing_program_voids_its_rows",
        cannot_be_started,
    ),
    ("runner::one_shot_is_verified_and_measured_too", one_shot),
];

fn options(subjects: Vec<Subject>, keep_alive: bool) -> Options {
    let mode = if keep_alive { "keep-alive" } else { "one-shot" };
    Options {
        subjects,
        floor: subject("floor", &["floor", mode]),
        rounds: 2,
        plan: Plan {
            connections: 4,
            keep_alive,
            extent: Extent::For {
                warm_up: Duration::from_millis(10),
                timed: Duration::from_millis(30),
            },
            ..Plan::new(([127, 0, 0, 1], 0).into()).unwrap()
        },
        pinning: Pinning::apart(),
        seed: 7,
        commit: Some("abc".to_owned()),
    }
}

fn threads(role: &str, mode: &str) -> Subject {
    subject(role, &[role, mode, "{stats}"])
}

fn run(options: &Options) -> Outcome {
    let keep_alive = options.plan.keep_alive;
    runner::run(
        options,
        &mut |_, address| verify::transforms(address, keep_alive),
        &mut |_| {},
    )
    .unwrap()
}

fn void(outcome: &Outcome, name: &str) -> String {
    let summary = outcome.summary();
    let entrant = summary.entrants.iter().find(|entrant| entrant.name == name);
    entrant.unwrap().void.clone().unwrap_or_default()
}

fn every_round() {
    let options = options(vec![threads("counting", "keep-alive")], true);
    let mut rows = 0;
    let outcome = runner::run(
        &options,
        &mut |_, address| verify::transforms(address, true),
        &mut |progress| {
            if let Progress::Measured { of, .. } = progress {
                rows += 1;
                assert_eq!(*of, (rows, 6));
            }
        },
    )
    .unwrap();
    assert_eq!(outcome.entrants, ["floor", "counting", "counting again"]);
    for round in 0..2 {
        let of_round = outcome.rows.iter().filter(|row| row.round == round);
        let mut names: Vec<_> = of_round.map(|row| row.subject.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["counting", "counting again", "floor"]);
    }
    let summary = outcome.summary();
    for entrant in &summary.entrants {
        assert_eq!(entrant.void, None, "{}", entrant.name);
        assert_eq!(entrant.counts_agree, entrant.name != "floor");
        assert!(entrant.rate.unwrap().low > 0.0);
    }
    assert_eq!(
        summary.entrants[0].best_ratio.is_some(),
        cfg!(target_os = "linux")
    );
    let text = report::throughput(&outcome).to_string();
    assert!(text.contains("A/A: counting and counting again"), "{text}");
    assert!(text.contains("commit abc"), "{text}");

    let mut lines = Vec::new();
    outcome.write_rows(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().count(), 1 + 6);
    for line in lines.lines().skip(1) {
        serde_json::from_str::<runner::Row>(line).unwrap();
    }
}

fn the_order_is_shuffled() {
    // A missing program makes a row at once.
    let nothing = |name| Subject::new(name, "/no/such/program", [""]);
    let order = |seed| {
        let options = Options {
            floor: nothing("floor"),
            rounds: 4,
            seed,
            ..options(["a", "b", "c"].map(nothing).into(), true)
        };
        let rows = run(&options).rows;
        rows.into_iter().map(|row| row.subject).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

fn counts_that_differ() {
    let subjects = ["counting", "counting-wrongly"].map(|role| threads(role, "keep-alive"));
    let outcome = run(&options(subjects.into(), true));
    assert_eq!(void(&outcome, "counting"), "");
    let problem = void(&outcome, "counting-wrongly");
    assert!(problem.starts_with("requests: the client has"), "{problem}");
    let text = report::throughput(&outcome).to_string();
    assert!(text.contains("void: requests: the client has"), "{text}");
}

/// A one-shot server measured as a keep-alive one.
fn fails_its_verification() {
    let outcome = run(&options(vec![threads("counting", "one-shot")], true));
    let problem = void(&outcome, "counting");
    assert!(problem.starts_with("pipelined requests: "), "{problem}");
    assert_eq!(void(&outcome, "counting again"), problem);
}

fn cannot_be_started() {
    let nothing = Subject::new("nothing", "/no/such/program", [""]);
    let outcome = run(&options(vec![nothing], true));
    assert!(void(&outcome, "nothing").starts_with("cannot start"));
    assert_eq!(void(&outcome, "floor"), "");
}

fn one_shot() {
    let outcome = run(&options(vec![threads("counting", "one-shot")], false));
    assert_eq!(void(&outcome, "floor"), "");
    assert_eq!(void(&outcome, "counting"), "");
    let rows = outcome.rows.iter().filter_map(|row| row.figures.as_ref());
    for figures in rows {
        assert_eq!(figures.ledger.connections, figures.ledger.answered);
    }
}
