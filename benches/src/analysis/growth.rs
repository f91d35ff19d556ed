//! How the main metric grows along the axis, in words.

use super::finding::{lower_first, on_axis};
use super::words;
use super::{Analysis, Place};
use crate::results::{Axis, Better, Metric};
use crate::statistics::{self, Verdict};

/// A factor within this distance of 1 is called no growth.
const LEVEL: f64 = 0.05;

/// One sentence: the factors by which the metric changes from the first to the last point, the least and the most, and where it
/// turns on the way.
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
    let names: Vec<&str> = factors.iter().map(|(name, _)| *name).collect();
    factors.sort_by(|one, other| one.1.total_cmp(&other.1));
    let ((least, low), (most, high)) = (factors.first()?, factors.last()?);
    let span = span(*first, *last, axis);
    let title = lower_first(&metric.title);
    let (fewer, more) = (change(*low), change(*high));
    let changes = match (fewer.split_once(' '), more.split_once(' ')) {
        _ if least == most => fewer,
        _ if fewer == more => format!("{fewer} for all"),
        (Some((verb, _)), Some((same, more))) if verb == same => {
            format!("{fewer} for {least}, and {more} for {most}")
        }
        _ => format!("{fewer} for {least}, and {more} for {most}"),
    };
    let turns = turns(analysis, metric, axis, &names);
    Some(format!("{span}, {title} {changes}{turns}."))
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

/// `; it is lowest at 64 connections for actors and streams`: where `names` are really below both ends, or above both.
fn turns(analysis: &Analysis<'_>, metric: &Metric, axis: &Axis, names: &[&str]) -> String {
    let points = analysis.scenario.points();
    let mut text = String::new();
    for (word, verdict) in [("lowest", Verdict::Better), ("highest", Verdict::Worse)] {
        let of = |name: &&str| turn(analysis, metric, name, verdict);
        let turns: Vec<Option<f64>> = names.iter().map(of).collect();
        for &point in &points {
            let of_names = names.iter().zip(&turns);
            let there = of_names.filter(|(_, turn)| **turn == Some(point));
            let there: Vec<&str> = there.map(|(name, _)| *name).collect();
            let whose = match there.len() {
                0 => continue,
                all if all == names.len() => String::new(),
                _ => format!(" for {}", words::list(&there)),
            };
            text += &format!("; it is {word} at {}{whose}", on_axis(point, axis));
        }
    }
    text
}

/// Where between the ends `name` is lowest, or highest if that is the `verdict`, and differs really from both ends; less is better.
fn turn(analysis: &Analysis<'_>, metric: &Metric, name: &str, verdict: Verdict) -> Option<f64> {
    let points = analysis.scenario.points();
    let [first, between @ .., last] = &points[..] else {
        return None;
    };
    let sample = |point| analysis.sample(name, metric, Place::Point(point));
    let with_median = |&point: &f64| Some((sample(point).spread()?.median, point));
    let medians = between.iter().filter_map(with_median);
    let by_median = |one: &(f64, f64), other: &(f64, f64)| one.0.total_cmp(&other.0);
    let (_, point) = match verdict {
        Verdict::Better => medians.min_by(by_median)?,
        _ => medians.max_by(by_median)?,
    };
    let noise = |point| analysis.noise(metric, Place::Point(point));
    let is_beyond = |&end: &f64| {
        let noise = [noise(point), noise(end)].into_iter().flatten();
        let noise = noise.reduce(f64::max);
        statistics::compare(&sample(point), &sample(end), Better::Lower, noise)
            .is_some_and(|comparison| comparison.verdict == verdict)
    };
    (is_beyond(first) && is_beyond(last)).then_some(point)
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
