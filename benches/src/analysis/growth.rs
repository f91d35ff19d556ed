//! How the main metric grows along the axis, in words.

use super::finding::{lower_first, on_axis};
use super::words;
use super::{Analysis, Place};
use crate::results::{Axis, Metric};

/// A factor within this distance of 1 is called no growth.
const LEVEL: f64 = 0.05;

/// One sentence: the factors by which the metric changes from the first to the last point, the least and the most.
pub(super) fn sentence(analysis: &Analysis<'_>) -> Option<String> {
    let points = analysis.scenario.points();
    if let Some((_, Place::Slope)) = analysis.main() {
        return None;
    }
    let (axis, [first, .., last]) = (analysis.scenario.axis.as_ref()?, &points[..]) else {
        return None;
    };
    let name = analysis.main_drawn()?;
    let metric = analysis.scenario.metric(name)?;
    let mut factors = factors(analysis, metric, *first, *last);
    factors.sort_by(|one, other| one.1.total_cmp(&other.1));
    let ((least, low), (most, high)) = (factors.first()?, factors.last()?);
    let span = span(*first, *last, axis);
    let title = lower_first(&metric.title);
    let (fewer, more) = (change(*low), change(*high));
    Some(match (fewer.split_once(' '), more.split_once(' ')) {
        _ if least == most => format!("{span}, {title} {fewer}."),
        _ if fewer == more => format!("{span}, {title} {fewer} for all."),
        (Some((verb, _)), Some((same, more))) if verb == same => {
            format!("{span}, {title} {fewer} for {least}, and {more} for {most}.")
        }
        _ => format!("{span}, {title} {fewer} for {least}, and {more} for {most}."),
    })
}

/// Each contestant's median at the last point, divided by that at the first.
fn factors<'r>(
    analysis: &Analysis<'r>,
    metric: &Metric,
    first: f64,
    last: f64,
) -> Vec<(&'r str, f64)> {
    let factor = |name: &'r str| {
        let median = |point| Some(analysis.spread(name, metric, Place::Point(point))?.median);
        let factor = median(last)? / median(first)?;
        factor.is_finite().then_some((name, factor))
    };
    let contestants = analysis.contestants();
    let names = contestants.into_iter().map(|entrant| entrant.name.as_str());
    names.filter_map(factor).collect()
}

fn span(first: f64, last: f64, axis: &Axis) -> String {
    let first = words::value(first, &axis.unit);
    format!("From {first} to {}", on_axis(last, axis))
}

/// `grows 2.30 times`, `falls to 45 %`, `stays level`.
fn change(factor: f64) -> String {
    match factor {
        factor if factor >= 1.995 => format!("grows to {} times", words::number(factor)),
        factor if factor > 1.0 + LEVEL => format!("grows by {}", words::percent(factor - 1.0)),
        factor if factor >= 1.0 - LEVEL => "stays level".to_owned(),
        factor => format!("falls by {}", words::percent(1.0 - factor)),
    }
}
