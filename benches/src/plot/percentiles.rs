//! Latency by percentile: all rounds together as a curve, and the lowest and highest round at the percentiles that have names.

use hdrhistogram::Histogram;

use super::lines::{Chart, Curve, y_scale};
use super::looks::Look;
use super::ticks::Scale;
use super::{Area, Drawn, Histograms, Width};
use crate::analysis::{Analysis, nearest, words};
use crate::results::Entrant;
use crate::statistics::Spread;

/// The percentiles that have a tick. Beyond the last, single requests decide.
const NAMED: &[(f64, &str)] = &[
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];
/// Steps of the curve between two ticks, about.
const STEPS: usize = 12;
/// A percentile counts if so many values are beyond it.
const BEYOND: f64 = 10.0;

/// The curves to draw: subjects, all of which have histograms.
pub(super) struct Plan<'r> {
    curves: Vec<(&'r Entrant, Vec<&'r Histogram<u64>>)>,
}

impl<'r> Plan<'r> {
    /// Collects the histograms of each subject at the point nearest to `at`, or returns `None` if none has any.
    pub(super) fn of(analysis: &Analysis<'r>, histograms: &'r Histograms, at: u64) -> Option<Self> {
        let point = nearest(&analysis.scenario.points(), at as f64)?;
        let mut curves = Vec::new();
        for subject in analysis.subjects() {
            if analysis.scenario.void(&subject.name, point).is_some() {
                continue;
            }
            let rows = analysis.scenario.rows_of(&subject.name, point);
            let tags = rows.filter_map(|row| row.histogram.as_ref());
            let of_rounds: Vec<_> = tags.filter_map(|tag| histograms.get(tag)).collect();
            if of_rounds.iter().any(|histogram| !histogram.is_empty()) {
                curves.push((subject, of_rounds));
            }
        }
        (!curves.is_empty()).then_some(Self { curves })
    }

    /// Returns a sentence for each curve.
    pub(super) fn in_words(&self) -> String {
        let sentence = |(subject, rounds): &(&Entrant, Vec<&Histogram<u64>>)| {
            let all = together(rounds);
            let within = |share| words::value(all.value_at_quantile(share) as f64, "ns");
            let name = &subject.name;
            format!(
                "{name} answers half of the requests within {}, and 99 % within {}.",
                within(0.5),
                within(0.99)
            )
        };
        let sentences: Vec<String> = self.curves.iter().map(sentence).collect();
        sentences.join(" ")
    }
}

/// Draws the curves.
pub(super) fn draw(
    analysis: &Analysis<'_>,
    plan: &Plan<'_>,
    area: &Area<'_>,
    width: Width,
) -> Drawn {
    let fewest = plan
        .curves
        .iter()
        .map(|(_, rounds)| total(rounds))
        .min()
        .unwrap_or(1);
    let last = (1.0 - BEYOND / fewest as f64).clamp(0.9, 0.9999);
    let curves = plan.curves.iter().map(|(subject, rounds)| {
        let (points, marked) = curve(rounds, last);
        Curve {
            name: &subject.name,
            look: Look::of(analysis.results, subject),
            points,
            marked,
        }
    });
    let curves: Vec<Curve<'_>> = curves.collect();
    let named: Vec<&(f64, &str)> = NAMED.iter().filter(|(share, _)| *share <= last).collect();
    let chart = Chart {
        x: Scale {
            logarithmic: false,
            low: 0.0,
            high: nines(last),
            ticks: named.iter().map(|(share, _)| nines(*share)).collect(),
        },
        x_title: "Share of requests answered within".to_owned(),
        x_labels: named.iter().map(|(_, label)| (*label).to_owned()).collect(),
        y: y_scale(&curves, true, None, "ns"),
        y_title: "Latency".to_owned(),
        y_unit: "ns".to_owned(),
        ideal: None,
        curves,
    };
    chart.draw(area, width)
}

/// The curve of all rounds together, and which of its points are named percentiles.
fn curve(rounds: &[&Histogram<u64>], last: f64) -> (Vec<(f64, Spread)>, Vec<bool>) {
    let all = together(rounds);
    let named = NAMED.iter().map(|(share, _)| (nines(*share), true));
    let steps =
        (0..=(nines(last) * STEPS as f64) as usize).map(|step| (step as f64 / STEPS as f64, false));
    let mut places: Vec<(f64, bool)> = named
        .chain(steps)
        .filter(|(place, _)| *place <= nines(last))
        .collect();
    places.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
    places.dedup_by(|later, earlier| (later.0 - earlier.0).abs() < 1e-9);
    let point = |&(place, _): &(f64, bool)| {
        let at = |histogram: &Histogram<u64>| {
            histogram.value_at_quantile(1.0 - 10f64.powf(-place)).max(1) as f64
        };
        let filled = rounds.iter().copied().filter(|round| !round.is_empty());
        let spread = Spread::of(filled.map(at));
        let median = at(&all);
        let (low, high) = spread.map_or((median, median), |spread| (spread.low, spread.high));
        (place, Spread { low, median, high })
    };
    let marked = places
        .iter()
        .map(|(place, named)| *named && *place > 0.0)
        .collect();
    (places.iter().map(point).collect(), marked)
}

/// All rounds, of which there is one at least.
fn together(rounds: &[&Histogram<u64>]) -> Histogram<u64> {
    let mut all = Histogram::<u64>::clone(rounds[0]);
    for round in &rounds[1..] {
        // Histograms of one scenario have the same bounds, so that a value that does not fit is not to be expected.
        let _ = all.add(*round);
    }
    all
}

fn total(rounds: &[&Histogram<u64>]) -> u64 {
    rounds.iter().map(|round| round.len()).sum()
}

/// Returns how many nines a share has: 0.99 has two.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}
