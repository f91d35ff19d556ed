//! The models beside the bare loops of their kinds: a sentence, and why a model may be behind.

use super::finding::difference;
use super::words::list;
use super::{Analysis, Place};
use crate::results::{Entrant, Metric};
use crate::statistics::{Comparison, ROUNDS_MIN, Verdict};

/// A model, its bare loop, and how the model compares with it.
type Beside<'r> = (&'r str, &'r str, Comparison);

/// Returns how each model compares with its bare loop, in one sentence; none if no model has one, or if the rounds are too few.
pub(super) fn sentence(analysis: &Analysis<'_>, metric: &Metric, place: Place) -> Option<String> {
    let (real, close): (Vec<Beside<'_>>, Vec<Beside<'_>>) = compared(analysis, metric, place)
        .into_iter()
        .filter(|(.., comparison)| comparison.rounds >= ROUNDS_MIN)
        .partition(|(.., comparison)| comparison.is_real());
    let has = |(model, bare, comparison): &Beside<'_>| {
        format!("{model} has {}", difference(comparison, bare))
    };
    let mut parts: Vec<String> = real.iter().map(has).collect();
    let pair = |(model, bare, _): &Beside<'_>| format!("{model} and {bare}");
    let close: Vec<String> = close.iter().map(pair).collect();
    match &close[..] {
        [] => {}
        [one] => parts.push(format!("{one} are too close to call")),
        pairs => parts.push(format!("too close to call are {}", pairs.join(", "))),
    }
    (!parts.is_empty()).then(|| format!("Beside the bare loops: {}.", parts.join("; ")))
}

/// Returns why models are behind their bare loops, where any is and the scenario knows a reason.
pub fn why(analysis: &Analysis<'_>) -> Option<String> {
    let (metric, place) = analysis.main()?;
    let reason = analysis.scenario.reason.as_deref()?;
    let behind = compared(analysis, metric, place)
        .into_iter()
        .filter(|(.., comparison)| comparison.verdict == Verdict::Worse);
    let behind: Vec<&str> = behind.map(|(model, ..)| model).collect();
    let verb = if behind.len() == 1 { "is" } else { "are" };
    (!behind.is_empty()).then(|| {
        let models = list(&behind);
        format!("Why {models} {verb} behind: {reason}")
    })
}

/// Compares every model with its bare loop, if that took part.
fn compared<'r>(analysis: &Analysis<'r>, metric: &Metric, place: Place) -> Vec<Beside<'r>> {
    let beside = |model: &'r Entrant| {
        let bare = model.baseline.as_deref()?;
        let comparison = analysis.compare(&model.name, bare, metric, place)?;
        Some((model.name.as_str(), bare, comparison))
    };
    analysis
        .contestants()
        .into_iter()
        .filter_map(beside)
        .collect()
}
