//! What is written beside a plot, and read out instead of it.

use crate::analysis::finding::{lower_first, on_axis};
use crate::analysis::{Analysis, nearest};
use crate::plot::{self, Histograms};
use crate::results::Figure;

/// The title of `figure`, one of the scenario's.
pub fn title<'r>(analysis: &Analysis<'r>, figure: &'r Figure) -> String {
    let scenario = analysis.scenario;
    let metric = analysis
        .drawn(figure)
        .and_then(|name| scenario.metric(name));
    let title = metric.map_or("", |metric| metric.title.as_str());
    let points = scenario.points();
    let axis = scenario.axis.as_ref().filter(|_| points.len() > 1);
    match (figure, axis) {
        (Figure::Percentiles { at }, Some(axis)) => {
            let point = nearest(&points, *at as f64).unwrap_or_default();
            format!("Latency by percentile at {}", on_axis(point, axis))
        }
        (Figure::Percentiles { .. }, None) => "Latency by percentile".to_owned(),
        (Figure::Lines { .. }, Some(axis)) => format!("{title} by {}", lower_first(&axis.title)),
        _ => title.to_owned(),
    }
}

/// What the marks of `figure` mean.
pub fn caption(analysis: &Analysis<'_>, figure: &Figure) -> &'static str {
    match figure {
        // Lines through one point are drawn as bars.
        Figure::Lines { .. } if analysis.scenario.points().len() > 1 => {
            "Markers are medians; whiskers reach from the lowest to the highest round."
        }
        Figure::Lines { .. } | Figure::Bars { .. } => {
            "Bars are medians, whiskers reach from the lowest to the highest round, dots are rounds."
        }
        Figure::Percentiles { .. } => {
            "Lines are all rounds together; whiskers reach from the lowest to the highest round."
        }
    }
}

/// What `figure` shows, in words: the `finding` of its scenario, or what each curve of percentiles says.
pub fn description(
    analysis: &Analysis<'_>,
    figure: &Figure,
    histograms: &Histograms,
    finding: &[String],
) -> String {
    let curves = match figure {
        Figure::Percentiles { at } => plot::percentiles_in_words(analysis, histograms, *at),
        _ => None,
    };
    curves.unwrap_or_else(|| finding.join(" "))
}
