//! The judge is judged: a small server without a network keeps the rules and passes, and with each of its flaws it is caught within
//! a thousand seeds.

mod client;
mod server;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use poetry::CloseReason;
use server::{Flaw, serve};
use simulation::fetch::FetchPlan;
use simulation::runs;

/// Runs that must suffice to catch a flaw.
const RUNS: u64 = 1_000;

#[test]
fn a_server_that_keeps_the_rules_passes() {
    let mut reasons = BTreeSet::new();
    for seed in 0..RUNS {
        match runs::run(seed, Duration::ZERO, |plan| serve(plan, None)) {
            Ok(observed) => {
                let kinds = observed.events.into_iter().map(|event| event.kind);
                reasons.extend(kinds.filter_map(|kind| match kind {
                    poetry::Kind::Closed(reason) => Some(reason as usize),
                    _ => None,
                }));
            }
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    assert_eq!(reasons, (0..=CloseReason::Panic as usize).collect());
}

#[test]
fn every_flaw_is_caught() {
    for flaw in Flaw::ALL {
        let caught =
            |&seed: &u64| runs::run(seed, Duration::ZERO, |plan| serve(plan, Some(flaw))).is_err();
        let seed = (0..RUNS).find(caught);
        let seed = seed.unwrap_or_else(|| panic!("{flaw:?} is not caught in {RUNS} runs"));
        let why = runs::run(seed, Duration::ZERO, |plan| serve(plan, Some(flaw)))
            .expect_err("caught again");
        println!("{flaw:?} by seed {seed}: {why}");
    }
}

#[test]
fn a_client_that_keeps_the_rules_passes_and_every_flaw_is_caught() {
    let judged = |seed, flaw| {
        let plan = FetchPlan::new(seed);
        plan.judge(&client::fetch(&plan, flaw), Duration::ZERO)
    };
    for seed in 0..RUNS {
        assert_eq!(judged(seed, None), Ok(()), "seed {seed}");
    }
    for flaw in client::Flaw::ALL {
        let why = (0..RUNS).find_map(|seed| judged(seed, Some(flaw)).err());
        let why = why.unwrap_or_else(|| panic!("{flaw:?} is not caught in {RUNS} runs"));
        println!("{flaw:?}: {why}");
    }
}

#[test]
fn a_run_that_cannot_be_repeated_is_caught() {
    let runs = Cell::new(0);
    let why = runs::run(0, Duration::ZERO, |plan| {
        runs.set(runs.get() + 1);
        let mut observed = serve(plan, None);
        observed.finished_and_cut.0 += runs.get();
        observed
    });
    assert!(why.is_err_and(|why| why.contains("differs")));
}
