//! Random programs of Deferreds, run on Twisted and on `callbacks`: both must do the same, but for the deviations that
//! SEMANTICS.md names. The programs have callbacks, cancels, pauses, timeouts, lists, a semaphore and a queue (D1–D8,
//! D10–D12); coroutines (D13) are not compared.
//!
//! Needs a Python with Twisted, `python3` or `QUATRAIN_PYTHON`; without one the test is ignored. A long run, and the
//! programs of one seed again:
//!
//! ```sh
//! QUATRAIN_PROGRAMS=100000 cargo test --release -p quatrain-callbacks --test twisted
//! QUATRAIN_SEED=7 cargo test -p quatrain-callbacks --test twisted
//! ```

mod generator;
mod ours;
mod theirs;

use std::collections::BTreeMap;
use std::env;

use libtest_mimic::{Arguments, Failed, Trial};

use generator::Program;
use theirs::Twisted;

/// Programs of an ordinary test run.
const PROGRAMS: u64 = 3_000;
/// In a run of at least so many programs every deviation must occur; some are rare. (`abandoned` never does, since the
/// programs drop their triggers with `Trigger::never`.)
const PROGRAMS_THAT_SHOW_ALL: u64 = 100_000;
/// Deviations that leave no difference, because `programs.py` translates Twisted's behaviour into ours.
const TRANSLATED: &[&str] = &["dropped-fire", "all-failed", "one-owner"];
/// Deviations that change only the failures reported at the end.
const OF_REPORTS: &[&str] = &["paused-failure"];
/// Deviations after which the rest of a program may differ, so that it is not compared.
const DIVERGING: &[&str] = &[
    "pause-at-once",
    "running-inner",
    "list-always-ends",
    "list-passes-cancel-on",
    "grant-in-turn",
    "empty-race",
    "waits-for-itself",
    "canceller-once",
];
/// The one deviation that a long run may miss.
const TOO_RARE: &str = "canceller-once";

fn main() {
    let python = env::var("QUATRAIN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let is_missing = !theirs::has_twisted(&python);
    if is_missing {
        eprintln!("skipped: needs Twisted ({python} -m pip install twisted)");
    }
    let test = move || agree(&python);
    let trial = Trial::test("d1_to_d12_random_programs_agree_with_twisted", test);
    let trial = trial.with_ignored_flag(is_missing);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

/// Runs the programs on both, and fails with the first difference that no deviation explains.
fn agree(python: &str) -> Result<(), Failed> {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seed = number("QUATRAIN_SEED").unwrap_or(1);
    let programs = number("QUATRAIN_PROGRAMS").unwrap_or(PROGRAMS);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut twisted = Twisted::start(python)?;
    let (mut same, mut named) = (0, BTreeMap::new());
    for index in 0..programs {
        let program = Program::random(&mut random);
        let theirs = twisted.run(&program)?;
        let ours = ours::run(&program);
        for deviation in &theirs.deviations {
            *named.entry(deviation.clone()).or_insert(0_u64) += 1;
        }
        let has = |named: &[&str]| {
            let mut deviations = theirs.deviations.iter();
            deviations.any(|deviation| named.contains(&&**deviation))
        };
        let same_trace = ours.trace == theirs.trace;
        if same_trace && theirs.reported_as(&ours.reported) {
            same += 1;
        } else if !(has(DIVERGING) || same_trace && has(OF_REPORTS)) {
            return Err(format!(
                "seed {seed}, program {index} differs\n{}\nours: {ours:?}\ntheirs: {theirs:?}",
                serde_json::to_string(&program)?
            )
            .into());
        }
    }
    println!(
        "seed {seed}: {programs} programs, {same} the same, 0 unexplained; deviations: {named:?}"
    );
    let unseen: Vec<_> = [TRANSLATED, OF_REPORTS, DIVERGING]
        .into_iter()
        .flatten()
        .filter(|name| !named.contains_key(**name) && **name != TOO_RARE)
        .collect();
    if programs >= PROGRAMS_THAT_SHOW_ALL && !unseen.is_empty() {
        return Err(format!("no program showed {unseen:?}: does Twisted still behave so?").into());
    }
    Ok(())
}
