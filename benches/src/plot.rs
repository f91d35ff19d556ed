//! The plot of a scenario as SVG, drawn by `plotters`, with colours that the style sheet around it decides.
//!
//! Weighed were: `plotters` (MIT, maintained, four small crates for SVG alone; text stays text; colours are attributes, which
//! `style` turns into classes), `kuva` (young, many times the weight, fixed themes), `poloto` (made for CSS, but no bars or
//! spreads, and no release for years), `charts-rs` (fixed themes) and `charming` and `plotlars` (their plots need scripts).

mod bars;
mod frame;
mod legend;
mod lines;
mod looks;
mod marker;
mod percentiles;
mod style;
mod ticks;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, SVGBackend};

use crate::analysis::Analysis;
use crate::results::{Entrant, Figure, Results};

use looks::Look;
pub use style::STYLE;

/// The histograms of a scenario by the tag in its rows, in nanoseconds.
pub type Histograms = BTreeMap<String, Histogram<u64>>;

/// Where plots are drawn.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// The result of drawing, which fails only if a number cannot be drawn.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The width that a plot is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// A page on a desk.
    Wide,
    /// A phone.
    Narrow,
}

impl Width {
    fn pixels(self) -> u32 {
        match self {
            Self::Wide => 760,
            Self::Narrow => 360,
        }
    }
}

/// What a plot says to screen readers.
#[derive(Debug, Clone, Copy)]
pub struct Text<'t> {
    /// A word that is unique in the page.
    pub id: &'t str,
    /// Its title.
    pub title: &'t str,
    /// What it shows, in sentences.
    pub description: &'t str,
}

/// Returns `figure`, one of the scenario's, as an `<svg>` element without a style of its own, or `None` if there is nothing to
/// draw.
pub fn plot<'r>(
    analysis: &Analysis<'r>,
    figure: &'r Figure,
    histograms: &'r Histograms,
    width: Width,
    text: &Text<'_>,
) -> Option<String> {
    let kind = Kind::of(analysis, figure, histograms)?;
    let (wide, high) = kind.size(analysis, width);
    let mut drawn = String::new();
    {
        let area = frame::area(&mut drawn, wide, high);
        kind.draw(analysis, &area, width).ok()?;
        area.present().ok()?;
    }
    let (_, inner) = drawn.split_once('>')?;
    let inner = style::with_classes(inner.trim_end().strip_suffix("</svg>")?);
    let (title, description) = (style::escaped(text.title), style::escaped(text.description));
    let id = text.id;
    Some(format!(
        "<svg class=\"plot\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" viewBox=\"0 0 {wide} {high}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-desc\">{description}</desc>\n{inner}</svg>\n"
    ))
}

/// Returns a plot as a file of its own, with its style, in light and dark.
pub fn file(svg: &str) -> String {
    let (head, rest) = svg.split_once('>').unwrap_or((svg, ""));
    format!(
        "{head}>\n<style>\n{STYLE}{}</style>{rest}",
        style::STANDALONE
    )
}

/// Returns what the curves of latency by percentile at the point nearest to `at` say, or `None` if there are none.
pub(crate) fn percentiles_in_words(
    analysis: &Analysis<'_>,
    histograms: &Histograms,
    at: u64,
) -> Option<String> {
    Some(percentiles::Plan::of(analysis, histograms, at)?.in_words())
}

/// Returns a sample of a subject's line and marker, for text that names the subject.
pub fn swatch(results: &Results, subject: &Entrant) -> String {
    let look = Look::of(results, subject);
    let mut drawn = String::new();
    {
        let area = frame::area(&mut drawn, 34, 16);
        // A line and a shape of whole pixels can always be drawn.
        let _ = legend::sample(&area, (3, 8), look).and_then(|()| Ok(area.present()?));
    }
    let inner = drawn.split_once('>').map_or("", |(_, inner)| inner);
    let inner = style::with_classes(inner.trim_end().trim_end_matches("</svg>"));
    format!("<svg class=\"plot swatch\" aria-hidden=\"true\" viewBox=\"0 0 34 16\">{inner}</svg>")
}

/// What is drawn.
enum Kind<'r> {
    Bars(&'r str),
    Lines(lines::Plan<'r>),
    Percentiles(percentiles::Plan<'r>),
}

impl<'r> Kind<'r> {
    fn of(analysis: &Analysis<'r>, figure: &'r Figure, histograms: &'r Histograms) -> Option<Self> {
        let metric = analysis.drawn(figure)?;
        let several = analysis.scenario.points().len() > 1;
        match figure {
            Figure::Lines {
                logarithmic, ideal, ..
            } if several => Some(Self::Lines(lines::Plan {
                metric,
                logarithmic: *logarithmic,
                ideal: ideal.map(|ideal| ideal as f64),
            })),
            Figure::Percentiles { at } => {
                let curves = percentiles::Plan::of(analysis, histograms, *at);
                // Without histograms the only figure of a scenario draws its metric.
                let bars = analysis.scenario.figures.len() == 1;
                let or_bars = || bars.then_some(Self::Bars(metric));
                curves.map(Self::Percentiles).or_else(or_bars)
            }
            _ => Some(Self::Bars(metric)),
        }
    }

    fn size(&self, analysis: &Analysis<'_>, width: Width) -> (u32, u32) {
        let high = match self {
            Self::Bars(_) => bars::height(analysis),
            Self::Lines(_) | Self::Percentiles(_) => {
                let names = analysis.subjects().into_iter();
                let names: Vec<&str> = names.map(|subject| subject.name.as_str()).collect();
                lines::HEIGHT + legend::height(&names, width)
            }
        };
        (width.pixels(), high)
    }

    fn draw(&self, analysis: &Analysis<'_>, area: &Area<'_>, width: Width) -> Drawn {
        match self {
            Self::Bars(metric) => bars::draw(analysis, metric, area, width),
            Self::Lines(plan) => lines::draw(analysis, plan, area, width),
            Self::Percentiles(plan) => percentiles::draw(analysis, plan, area, width),
        }
    }
}
