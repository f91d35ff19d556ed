//! Runs of a simulation, one for each seed, and how a failed one is replayed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use poetry::event::Interest;
use poetry::{Event, Kind, Observer, panics};

use crate::fetch::{FetchPlan, Fetched};
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
    each_seed(command, &REASONS, |seed, shows, ends| {
        if shows {
            let plan = Plan::new(seed);
            println!("{plan}\n{}", simulate(&plan));
        }
        note_ends(&run(seed, late_max, &simulate)?, ends);
        Ok(())
    });
}

/// As [`check`], of fetches.
///
/// # Panics
/// As [`check`].
pub fn check_fetches(command: &str, late_max: Duration, fetch: impl Fn(&FetchPlan) -> Fetched) {
    each_seed(command, &OUTCOMES, |seed, shows, ends| {
        let plan = FetchPlan::new(seed);
        if shows {
            println!("{plan}");
        }
        let fetch = || panics::contain(|| fetch(&plan));
        let fetched = fetch()?;
        if shows {
            println!("{fetched:#?}");
        }
        plan.judge(&fetched, late_max)?;
        if seed.is_multiple_of(REPEATED) && fetch().ok().as_ref() != Some(&fetched) {
            return Err("a second run of the seed differs".to_owned());
        }
        *ends.entry(fetched.outcome()).or_default() += 1;
        Ok(())
    });
}

/// Counts of how runs, or their connections, ended.
type Ends = BTreeMap<String, u64>;

/// Calls `run` for each seed, and says with `true` if that is to be shown. Every one of `expected` must come now and then.
fn each_seed(
    command: &str,
    expected: &[&str],
    mut run: impl FnMut(u64, bool, &mut Ends) -> Result<(), String>,
) {
    let mut ends = Ends::new();
    if let Some(seed) = seed::number("QUATRAIN_SIM_SEED") {
        if let Err(why) = run(seed, true, &mut ends) {
            panic!("seed {seed}: {why}");
        }
        return;
    }
    let first = seed::from_environment();
    let count = seed::number("QUATRAIN_SIM_SEEDS").unwrap_or(RUNS);
    let began = Instant::now();
    for seed in (0..count).map(|index| first.wrapping_add(index)) {
        if let Err(why) = run(seed, false, &mut ends) {
            panic!("seed {seed}: {why}\nTo replay: QUATRAIN_SIM_SEED={seed} {command}");
        }
    }
    let took = began.elapsed();
    println!("{count} runs from seed {first} in {took:.1?}: {ends:?}");
    for &end in expected {
        // Otherwise the plans miss what they are for.
        let seen = ends.get(end).copied().unwrap_or(0);
        assert!(seen >= count / 250, "only {seen} ended as {end}");
    }
}

/// The outcomes that fetches must have had, over many runs.
const OUTCOMES: [&str; 14] = [
    "poem",
    "transformed",
    "lost",
    "idle",
    "total",
    "too long",
    "not UTF-8",
    "kept, lost",
    "kept, idle",
    "kept, total",
    "kept, too long",
    "kept, refused",
    "kept, garbled",
    "kept, cut short",
];

/// The reasons that connections must have ended for, over many runs.
const REASONS: [&str; 8] = [
    "Done", "Refused", "Reset", "Idle", "Deadline", "Write", "Cut", "Panic",
];

fn note_ends(observed: &Observed, ends: &mut Ends) {
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
    let simulate = || panics::contain(|| simulate(&plan));
    let observed = simulate()?;
    judge(&plan, &observed, late_max)?;
    if seed.is_multiple_of(REPEATED) {
        let again = simulate()?;
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
