//! What a reader should know before trusting figures: busy machines, incomplete runs, void subjects, few rounds.

use crate::analysis::{Analysis, words};
use crate::environment::BUSY_SHARE_MAX;
use crate::results::{Results, Run};
use crate::statistics::ROUNDS_MIN;

/// Returns the warnings, the gravest first.
pub fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, run) in results.runs.iter().enumerate() {
        let run_name = match results.runs.len() {
            1 => "The run".to_owned(),
            _ => format!("Run {}", index + 1),
        };
        if !run.complete {
            warnings.push(format!(
                "{run_name} is incomplete: it was interrupted before all rounds were measured."
            ));
        }
        warnings.extend(busy(run, &run_name));
        if let Some(profile) = run
            .environment
            .profile
            .as_deref()
            .filter(|profile| !profile.starts_with("release"))
        {
            warnings.push(format!(
                "{run_name} measured a build with the profile {profile}; build with --release."
            ));
        }
    }
    let analyses = results
        .scenarios
        .iter()
        .map(|scenario| Analysis::of(results, scenario));
    let (mut void, mut few) = (Vec::new(), Vec::new());
    for analysis in analyses {
        let name = analysis.scenario.name.as_str();
        for subject in analysis.subjects() {
            if !analysis.voids(&subject.name).is_empty() {
                void.push(format!("{} in {name}", subject.name));
            }
        }
        if analysis.rounds() < ROUNDS_MIN {
            few.push(name);
        }
    }
    if !void.is_empty() {
        warnings.push(format!(
            "Void: {}. The reasons are with the scenarios.",
            words::list(&void)
        ));
    }
    if !few.is_empty() {
        warnings.push(format!(
            "Fewer than {ROUNDS_MIN} rounds, so that no difference can be called: {}.",
            words::list(&few)
        ));
    }
    warnings.extend(mixed(results));
    warnings
}

/// A machine that other programs used at the start.
fn busy(run: &Run, run_name: &str) -> Option<String> {
    let load: f64 = run.environment.busy.as_deref()?.parse().ok()?;
    let cores = run.environment.cores?;
    (load > cores as f64 * BUSY_SHARE_MAX).then(|| {
        format!(
            "{run_name} began on a busy machine: load average {load} on {}. Every figure is partly noise.",
            words::counted(cores, "core")
        )
    })
}

/// Runs that differ in what must be the same.
fn mixed(results: &Results) -> Option<String> {
    let machine = |run: &Run| (run.environment.processor.clone(), run.environment.cores);
    let commit = |run: &Run| run.environment.commit.clone();
    let differ = |one: &Run, other: &Run| machine(one) != machine(other);
    let (first, others) = results.runs.split_first()?;
    if others.iter().any(|other| differ(first, other)) {
        return Some(
            "The runs are of different machines: figures compare only within a run.".to_owned(),
        );
    }
    let different = others.iter().any(|other| commit(other) != commit(first));
    different.then(|| "The runs are of different commits.".to_owned())
}
