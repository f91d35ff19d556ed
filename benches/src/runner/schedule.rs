//! What is left to measure, in order.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Entering, Options};
use crate::results::{Results, ScenarioResults};

/// One row to measure.
pub(super) struct Task {
    /// An index into the options' scenarios.
    pub(super) scenario: usize,
    pub(super) round: usize,
    /// An index into the entrants.
    pub(super) entrant: usize,
    pub(super) point: f64,
    /// What it takes, about.
    pub(super) seconds: f64,
}

/// All rows to measure.
pub(super) struct Schedule {
    pub(super) tasks: Vec<Task>,
    /// Where the results of each of the options' scenarios are.
    pub(super) positions: Vec<usize>,
    /// Rows, with those that were kept of an earlier run, and those.
    pub(super) all: usize,
    pub(super) kept: usize,
}

impl Schedule {
    /// Returns the rows that `results` lacks, scenario by scenario and round by round, each round in an order of its own.
    pub(super) fn new(options: &Options, entrants: &[Entering], results: &Results) -> Self {
        let positions: Vec<usize> = (options.scenarios.iter())
            .map(|(scenario, _)| {
                let name = scenario.about(options.setting.extent).name;
                position(results, name).unwrap_or_default()
            })
            .collect();
        let mut tasks = Vec::new();
        for index in 0..options.scenarios.len() {
            tasks.extend(of_scenario(options, entrants, index));
        }
        let all = tasks.len();
        tasks.retain(|task| {
            let scenario = &results.scenarios[positions[task.scenario]];
            !is_kept(scenario, task, &entrants[task.entrant].name)
        });
        Self {
            kept: all - tasks.len(),
            all,
            tasks,
            positions,
        }
    }
}

fn of_scenario(options: &Options, entrants: &[Entering], index: usize) -> Vec<Task> {
    let extent = options.setting.extent;
    let (scenario, _) = &options.scenarios[index];
    let rounds = options
        .rounds
        .min(scenario.rounds_max().unwrap_or(usize::MAX));
    let mut tasks = Vec::new();
    for round in 0..rounds {
        let mut of_round = Vec::new();
        for point in scenario.points(extent) {
            for (entrant, entering) in entrants.iter().enumerate() {
                if scenario.applies(&entering.subject) {
                    of_round.push(Task {
                        scenario: index,
                        round,
                        entrant,
                        point,
                        seconds: scenario.seconds(point, extent),
                    });
                }
            }
        }
        // The order depends on the seed, the scenario and the round alone, so that a resumed run goes on in the same one.
        let mut hasher = DefaultHasher::new();
        (options.setting.seed, scenario.about(extent).name, round).hash(&mut hasher);
        fastrand::Rng::with_seed(hasher.finish()).shuffle(&mut of_round);
        tasks.extend(of_round);
    }
    tasks
}

fn is_kept(scenario: &ScenarioResults, task: &Task, name: &str) -> bool {
    let mut rows = scenario.rows_of(name, task.point);
    rows.any(|row| row.round == task.round)
}

fn position(results: &Results, name: &str) -> Option<usize> {
    results.scenarios.iter().position(|own| own.name == name)
}

/// Makes room in `results` for all scenarios of `options`.
///
/// # Errors
/// The results are merged, of other subjects, or a scenario was measured otherwise: their rows must not be mixed. The text ends
/// with what to do.
pub(super) fn fit(
    results: &mut Results,
    options: &Options,
    entrants: &[Entering],
) -> Result<(), String> {
    if results.runs.len() > 1 {
        return Err(format!(
            "the results to resume are merged of {} runs, so that new rows would belong to none of them; resume before merging",
            results.runs.len()
        ));
    }
    let same = results.subjects.len() == entrants.len()
        && (results.subjects.iter().zip(entrants)).all(|(kept, entering)| {
            kept.name == entering.name && kept.command == entering.subject.entrant().command
        });
    if !same {
        let kept: Vec<&str> = results
            .subjects
            .iter()
            .map(|kept| kept.name.as_str())
            .collect();
        return Err(format!(
            "the run to resume is of other subjects: {}; repeat its options",
            kept.join(", ")
        ));
    }
    for (scenario, command) in &options.scenarios {
        let new = scenario.empty_results(options.setting.extent, command.clone());
        match position(results, &new.name) {
            None => results.scenarios.push(new),
            Some(at) => {
                let kept = &results.scenarios[at];
                if kept.method != new.method || kept.metrics != new.metrics {
                    let name = &new.name;
                    return Err(format!(
                        "the run to resume measured {name} otherwise; repeat its options"
                    ));
                }
            }
        }
    }
    if let Some(run) = results.runs.last_mut() {
        run.complete = false;
    }
    Ok(())
}
