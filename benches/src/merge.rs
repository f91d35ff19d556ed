//! Several results as one.
//!
//! Rows keep their run, so that rounds are compared only within it. Results that measured differently are not merged.

use crate::bundle::Histograms;
use crate::results::{Entrant, Results, ScenarioResults};

/// Why results cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There are none.
    #[error("there are no results to merge")]
    Nothing,
    /// One run is in two parts: its rounds would count twice.
    #[error("two of them hold the same run, of {date} with seed {seed}; name each once")]
    Twice {
        /// When it began.
        date: String,
        /// Its seed.
        seed: u64,
    },
    /// One name is two subjects.
    #[error("{subject} is not the same subject in all of them: its {what} differs; rename one")]
    Subject {
        /// The name.
        subject: String,
        /// What differs.
        what: &'static str,
    },
    /// A scenario was measured in two ways.
    #[error(
        "{scenario} was measured differently: its {what} differs; merge runs of the same options"
    )]
    Scenario {
        /// The scenario.
        scenario: String,
        /// What differs.
        what: &'static str,
    },
}

/// Merges `parts`, in their order.
///
/// # Errors
/// There are no parts, or they differ in what must be the same.
pub fn merge(
    parts: impl IntoIterator<Item = (Results, Histograms)>,
) -> Result<(Results, Histograms), MergeError> {
    let mut parts = parts.into_iter();
    let (mut all, mut histograms) = parts.next().ok_or(MergeError::Nothing)?;
    for (results, with) in parts {
        let first_run = all.runs.len();
        if let Some(twice) = results.runs.iter().find(|run| all.runs.contains(run)) {
            return Err(MergeError::Twice {
                date: twice.environment.date.clone(),
                seed: twice.environment.seed,
            });
        }
        all.runs.extend(results.runs);
        for subject in results.subjects {
            add_subject(&mut all.subjects, subject)?;
        }
        for scenario in results.scenarios {
            add_scenario(&mut all.scenarios, scenario, first_run)?;
        }
        for (scenario, by_tag) in with {
            let by_tag = by_tag
                .into_iter()
                .map(|(tag, histogram)| (tag_of(first_run, &tag), histogram));
            histograms.entry(scenario).or_default().extend(by_tag);
        }
    }
    Ok((all, histograms))
}

/// The tags of a later part, which must not be those of an earlier one.
fn tag_of(first_run: usize, tag: &str) -> String {
    format!("run{first_run}.{tag}")
}

fn add_subject(subjects: &mut Vec<Entrant>, subject: Entrant) -> Result<(), MergeError> {
    let Some(known) = subjects.iter_mut().find(|known| known.name == subject.name) else {
        subjects.push(subject);
        return Ok(());
    };
    let what = if known.kind != subject.kind {
        "kind"
    } else if known.again != subject.again {
        "second entry"
    } else if known.baseline.is_some()
        && subject.baseline.is_some()
        && known.baseline != subject.baseline
    {
        "bare loop"
    } else {
        // It may take part in one run only.
        known.baseline = known.baseline.take().or(subject.baseline);
        return Ok(());
    };
    Err(MergeError::Subject {
        subject: subject.name,
        what,
    })
}

fn add_scenario(
    scenarios: &mut Vec<ScenarioResults>,
    mut scenario: ScenarioResults,
    first_run: usize,
) -> Result<(), MergeError> {
    for row in &mut scenario.rows {
        row.run += first_run;
        row.histogram = row.histogram.take().map(|tag| tag_of(first_run, &tag));
    }
    let Some(known) = scenarios
        .iter_mut()
        .find(|known| known.name == scenario.name)
    else {
        scenarios.push(scenario);
        return Ok(());
    };
    let what = if known.method != scenario.method {
        "method"
    } else if known.metrics != scenario.metrics {
        "list of metrics"
    } else if known.axis != scenario.axis {
        "axis"
    } else if known.figures != scenario.figures {
        "list of figures"
    } else {
        known.rows.extend(scenario.rows);
        return Ok(());
    };
    Err(MergeError::Scenario {
        scenario: scenario.name,
        what,
    })
}
