//! Memory of an idle connection, and faults that void the figure.

use measure::memory::{self, Options, Outcome};
use measure::pinning::Pinning;
use measure::{Exchange, Subject, report};

use crate::child::subject;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("memory::an_idle_connection_costs_memory", has_a_cost),
    ("memory::s5_a_server_that_closes_voids_its_row", closes),
    (
        "memory::s23_counts_that_differ_from_the_ledger_void_the_row",
        counts_that_differ,
    ),
];

fn measure(subject: Subject) -> Outcome {
    let options = Options {
        subjects: vec![subject],
        counts: vec![10, 60],
        rounds: 1,
        exchange: Exchange::cummingsify(600).unwrap(),
        pinning: Pinning::apart(),
        seed: 7,
        commit: None,
    };
    let mut reported = 0;
    let outcome = memory::run(&options, &mut |_| reported += 1).unwrap();
    assert_eq!(reported, outcome.rows.len());
    outcome
}

fn has_a_cost() {
    let outcome = measure(subject("counting", &["counting", "keep-alive", "{stats}"]));
    let row = &outcome.rows[0];
    assert_eq!(row.void, None);
    assert_eq!(row.points.len(), 2);
    if cfg!(target_os = "linux") {
        // A thread, and a buffer of 64 KiB of which one request touches a page.
        assert!(row.own_slope() > Some(1_000.0), "{row:?}");
        assert!(row.points[1].threads >= Some(60));
    }
    let text = report::memory(&outcome).to_string();
    assert!(text.contains("Idle connections: 10, 60;"), "{text}");
}

fn closes() {
    let outcome = measure(subject("counting", &["counting", "one-shot", "{stats}"]));
    let void = outcome.rows[0].void.as_deref().unwrap_or_default();
    assert!(
        void.starts_with("the server closed the connection"),
        "{void}"
    );
}

fn counts_that_differ() {
    let role = ["counting-wrongly", "keep-alive", "{stats}"];
    let outcome = measure(subject("counting-wrongly", &role));
    let void = outcome.rows[0].void.as_deref().unwrap_or_default();
    assert!(void.starts_with("requests: the client has"), "{void}");
}
