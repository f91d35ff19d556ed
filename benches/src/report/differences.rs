//! The table of what has changed since another measurement.

use super::Table;
use crate::analysis::finding::{difference, on_axis};
use crate::analysis::{Difference, Place, words};
use crate::results::Results;
use crate::statistics::Verdict;

/// The differences that are real, one line for each, and how many are too close to call. `results` are the newer ones.
pub fn differences(results: &Results, differences: &[Difference]) -> Table {
    let mut table = Table::new(&["", "scenario", "figure", "before", "now", "change", ""]);
    let real = differences
        .iter()
        .filter(|difference| difference.comparison.is_real());
    table.rows = real.map(|difference| row(results, difference)).collect();
    let close = differences.len() - table.rows.len();
    table
        .notes
        .push(match (differences.is_empty(), table.rows.is_empty()) {
            (true, _) => "They have no scenario, point and subject in common.".to_owned(),
            (_, true) => format!("No difference is real: all {close} are too close to call."),
            _ => format!("Too close to call: {close} of {}.", differences.len()),
        });
    if differences.iter().any(|difference| difference.to_floor) {
        let note = "Changes are relative to the floor of the same round, so that the speed of the machine is not one of them.";
        table.notes.push(note.to_owned());
    }
    if differences.iter().any(|difference| !difference.to_floor) {
        let note =
            "A figure marked * has no floor: the speed of the machine is part of its change.";
        table.notes.push(note.to_owned());
    }
    table
}

fn row(results: &Results, of: &Difference) -> Vec<String> {
    let unit = &of.metric.unit;
    let mark = if of.to_floor { "" } else { " *" };
    let verdict = match of.comparison.verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Differs | Verdict::TooClose => "",
    };
    vec![
        of.subject.clone(),
        format!("{}{}", of.scenario, place(results, of)),
        of.metric.title.clone(),
        words::value(of.before, unit),
        words::value(of.now, unit),
        difference(&of.comparison, "before") + mark,
        verdict.to_owned(),
    ]
}

fn place(results: &Results, of: &Difference) -> String {
    let scenario = results.scenario(&of.scenario);
    match (
        of.place,
        scenario.and_then(|scenario| scenario.axis.as_ref()),
    ) {
        (Place::Point(point), Some(axis)) => format!(" at {}", on_axis(point, axis)),
        _ => String::new(),
    }
}
