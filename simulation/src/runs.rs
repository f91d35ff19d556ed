//! Runs of a simulation, one for each seed, and how a failed one is replayed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use poetry::event::Interest;
use poetry::{Event, Kind, Observer, panics};

use crate::judge::judge;
use crate::log::Observed;
use crate::plan::Plan;
use crate::seed;

/// Runs of a usual test.
const RUNS: u64 = 1_000;
/// Every so many runs, a run is repeated and compared.
const REPEATED: u64 = 50;

/// Runs `simulate` for 1,000 seeds, or those that the environment names, and judges each run. `command` is what replays a run
/// of the caller. A timeout may close a connection as much as `late_max` after its time.
///
/// - `QUATRAIN_SIM_SEED=7` runs one seed and prints its plan and what happened.
/// - `QUATRAIN_SIM_SEEDS=100_000` runs so many, from the one in `QUATRAIN_SEED`.
///
/// # Panics
/// If a run breaks a rule, panics, or differs when it is repeated.
pub fn check(command: &str, late_max: Duration, simulate: impl Fn(&Plan) -> Observed) {
    if let Some(seed) = seed::number("QUATRAIN_SIM_SEED") {
        let plan = Plan::new(seed);
        println!("{plan}");
        let observed = simulate(&plan);
        println!("{observed}");
        if let Err(why) = judge(&plan, &observed, late_max) {
            panic!("seed {seed}: {why}");
        }
        return;
    }
    let first = seed::from_environment();
    let count = seed::number("QUATRAIN_SIM_SEEDS").unwrap_or(RUNS);
    let (began, mut ends) = (Instant::now(), BTreeMap::<String, u64>::new());
    for seed in (0..count).map(|index| first.wrapping_add(index)) {
        match run(seed, late_max, &simulate) {
            Ok(observed) => note_ends(&observed, &mut ends),
            Err(why) => panic!("seed {seed}: {why}\nTo replay: QUATRAIN_SIM_SEED={seed} {command}"),
        }
    }
    let took = began.elapsed();
    println!("{count} runs from seed {first} in {took:.1?}: {ends:?}");
    for reason in REASONS {
        // Otherwise the plans miss what they are for.
        let seen = ends.get(reason).copied().unwrap_or(0);
        let expected = count / 200;
        assert!(seen >= expected, "{seen} connections ended as {reason}");
    }
}

/// The reasons that connections must have ended for, over many runs.
const REASONS: [&str; 8] = [
    "Done", "Refused", "Reset", "Idle", "Deadline", "Write", "Cut", "Panic",
];

fn note_ends(observed: &Observed, ends: &mut BTreeMap<String, u64>) {
    for event in &observed.events {
        match event.kind {
            Kind::Closed(reason) => *ends.entry(format!("{reason:?}")).or_default() += 1,
            Kind::Answered { requests } => {
                *ends.entry("answered".to_owned()).or_default() += requests
            }
            _ => {}
        }
    }
}

/// Runs one seed, and judges it. A panic is a failure, and so is a repeated run that differs.
///
/// # Errors
/// Returns why the run failed.
pub fn run(
    seed: u64,
    late_max: Duration,
    simulate: impl Fn(&Plan) -> Observed,
) -> Result<Observed, String> {
    let plan = Plan::new(seed);
    let simulate = || catch_unwind(AssertUnwindSafe(|| simulate(&plan)));
    let observed = simulate().map_err(|panic| panics::message(&*panic))?;
    judge(&plan, &observed, late_max)?;
    if seed.is_multiple_of(REPEATED) {
        let again = simulate().map_err(|panic| panics::message(&*panic))?;
        if again != observed {
            return Err(format!(
                "a second run of the seed differs: {}",
                difference(&observed, &again)
            ));
        }
    }
    Ok(observed)
}

/// Returns the first lines in which two runs differ.
fn difference(one: &Observed, other: &Observed) -> String {
    let (one, other) = (one.to_string(), other.to_string());
    let lines = one.lines().zip(other.lines());
    let differ = lines.filter(|(one, other)| one != other);
    let shown = differ
        .take(3)
        .map(|(one, other)| format!("{} and {}", one.trim(), other.trim()));
    shown.collect::<Vec<_>>().join("; ")
}

/// Keeps the events of a run.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// Creates a recorder that a server can report to.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns the events so far, in order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Recorder {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.clone());
    }
}
