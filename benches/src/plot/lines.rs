//! A line for each subject along the axis, with a whisker from the lowest to the highest round at each point.

use plotters::prelude::PathElement;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, ShapeStyle};

use super::bars::short;
use super::frame::{width_of, write};
use super::looks::Look;
use super::style::Class;
use super::ticks::Scale;
use super::{Area, Drawn, Width, legend, marker};
use crate::analysis::{Analysis, Place, words};
use crate::statistics::Spread;

/// The height below the legend, in pixels.
pub(super) const HEIGHT: u32 = 380;
const AXIS: i32 = 52;
const MARGIN: i32 = 14;
/// Half the width of a whisker's ends.
const CAP: i32 = 4;

/// The largest factor between two values that a linear axis can show: the lower one is four pixels high.
const LINEAR_FACTOR_MAX: f64 = 75.0;

/// What is drawn.
pub(super) struct Plan<'r> {
    /// The height of the lines.
    pub(super) metric: &'r str,
    /// Whether equal heights are equal factors.
    pub(super) logarithmic: bool,
    /// A value that cannot be passed.
    pub(super) ideal: Option<f64>,
}

/// A line: places along the axis, each with its spread.
pub(super) struct Curve<'r> {
    /// The subject.
    pub(super) name: &'r str,
    /// Its look.
    pub(super) look: Look,
    /// The value of the axis, and the spread there.
    pub(super) points: Vec<(f64, Spread)>,
    /// Whether a marker and a whisker are at each point, or only a line through all.
    pub(super) marked: Vec<bool>,
}

/// Everything about a plot of curves.
pub(super) struct Chart<'r> {
    pub(super) curves: Vec<Curve<'r>>,
    pub(super) x: Scale,
    pub(super) x_title: String,
    pub(super) x_labels: Vec<String>,
    pub(super) y: Scale,
    pub(super) y_title: String,
    pub(super) y_unit: String,
    pub(super) ideal: Option<f64>,
}

/// Draws the lines.
pub(super) fn draw(
    analysis: &Analysis<'_>,
    plan: &Plan<'_>,
    area: &Area<'_>,
    width: Width,
) -> Drawn {
    let Some(metric) = analysis.scenario.metric(plan.metric) else {
        return Err("the metric of the figure is not one of the scenario".into());
    };
    let points = analysis.scenario.points();
    let curve = |subject: &'_ crate::results::Entrant| {
        let spread = |&point: &f64| {
            Some((
                point,
                analysis.spread(&subject.name, metric, Place::Point(point))?,
            ))
        };
        let points: Vec<_> = points.iter().filter_map(spread).collect();
        (Look::of(analysis.results, subject), points)
    };
    let curves = analysis.subjects().into_iter().map(|subject| {
        let (look, points) = curve(subject);
        Curve {
            name: &subject.name,
            look,
            marked: vec![true; points.len()],
            points,
        }
    });
    let curves: Vec<Curve<'_>> = curves.collect();
    let axis = analysis.scenario.axis.as_ref();
    let unit = axis.map_or("", |axis| &axis.unit);
    let chart = Chart {
        x: x_scale(&points, axis.is_some_and(|axis| axis.logarithmic)),
        x_title: axis.map_or_else(String::new, |axis| titled(&axis.title, &axis.unit)),
        x_labels: points
            .iter()
            .map(|&point| words::value(point, short(unit)))
            .collect(),
        y: y_scale(&curves, plan.logarithmic, plan.ideal, &metric.unit),
        y_title: titled(&metric.title, &metric.unit),
        y_unit: metric.unit.clone(),
        ideal: plan.ideal,
        curves,
    };
    chart.draw(area, width)
}

/// An axis with a tick at each point.
fn x_scale(points: &[f64], logarithmic: bool) -> Scale {
    let (low, high) = (points.first().copied(), points.last().copied());
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(1.0));
    Scale {
        logarithmic: logarithmic && low > 0.0,
        low,
        high: if high > low { high } else { low + 1.0 },
        ticks: points.to_vec(),
    }
}

/// An axis that holds all values: from zero unless all are far from it, and logarithmic if asked or if they differ so much that
/// most lines would lie on one another.
pub(super) fn y_scale(
    curves: &[Curve<'_>],
    logarithmic: bool,
    ideal: Option<f64>,
    unit: &str,
) -> Scale {
    let spreads = curves.iter().flat_map(|curve| &curve.points);
    let ends = spreads.flat_map(|(_, spread)| [spread.low, spread.high]);
    let mut values: Vec<f64> = ends.chain(ideal).collect();
    values.sort_by(f64::total_cmp);
    let low = values.first().copied().unwrap_or(0.0);
    let high = values.last().copied().unwrap_or(1.0);
    if low > 0.0 && (logarithmic || high / low > LINEAR_FACTOR_MAX) {
        return Scale::logarithmic(low, high, unit);
    }
    match low > high / 2.0 && high > 0.0 {
        true => Scale::linear(low - (high - low) * 0.05, high, 5, unit),
        false => Scale::linear(low.min(0.0), high, 5, unit),
    }
}

/// Returns the title of an axis, with its unit unless ticks have it.
pub(super) fn titled(title: &str, unit: &str) -> String {
    match unit {
        "" | "B" | "ns" => title.to_owned(),
        unit => format!("{title}, {unit}"),
    }
}

/// The frame of the curves, in pixels.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Chart<'_> {
    /// Draws legend, grid, the ideal and the curves.
    pub(super) fn draw(&self, area: &Area<'_>, width: Width) -> Drawn {
        let subjects: Vec<(&str, Look)> = self
            .curves
            .iter()
            .map(|curve| (curve.name, curve.look))
            .collect();
        let names: Vec<&str> = subjects.iter().map(|(name, _)| *name).collect();
        legend::draw(area, &subjects, width)?;
        let frame = self.frame(legend::height(&names, width), width);
        self.grid(area, &frame)?;
        if let Some(ideal) = self.ideal {
            let (y, style) = (
                self.y_of(&frame, ideal),
                Class::Ideal.colour().stroke_width(2),
            );
            area.draw(&PathElement::new::<_, ShapeStyle>(
                [(frame.left, y), (frame.right, y)],
                style,
            ))?;
            write(
                area,
                "ideal",
                (frame.right - 4, y + 10),
                Class::Muted,
                HPos::Right,
            )?;
        }
        for curve in &self.curves {
            self.curve(area, &frame, curve)?;
        }
        Ok(())
    }

    fn frame(&self, legend: u32, width: Width) -> Frame {
        let labels = self.y.ticks.iter().map(|&tick| self.y_label(tick));
        let widest = labels.map(|label| width_of(&label)).fold(0.0, f64::max);
        let top = legend as i32 + 2 * MARGIN + 8;
        Frame {
            left: MARGIN + widest as i32 + 4,
            right: width.pixels() as i32 - MARGIN - 12,
            bottom: (legend + HEIGHT) as i32 - AXIS,
            top,
        }
    }

    fn y_label(&self, tick: f64) -> String {
        words::value(rounded(tick), short(&self.y_unit))
    }

    fn x_of(&self, frame: &Frame, value: f64) -> i32 {
        along(&self.x, value, frame.left, frame.right)
    }

    fn y_of(&self, frame: &Frame, value: f64) -> i32 {
        along(&self.y, value, frame.bottom, frame.top)
    }

    fn grid(&self, area: &Area<'_>, frame: &Frame) -> Drawn {
        let grid: ShapeStyle = Class::Grid.colour().stroke_width(1);
        for &tick in &self.y.ticks {
            let y = self.y_of(frame, tick);
            area.draw(&PathElement::new([(frame.left, y), (frame.right, y)], grid))?;
            write(
                area,
                &self.y_label(tick),
                (frame.left - 6, y),
                Class::Muted,
                HPos::Right,
            )?;
        }
        let title = match self.y.logarithmic {
            true => format!("{} (logarithmic)", self.y_title),
            false => self.y_title.clone(),
        };
        write(
            area,
            &title,
            (MARGIN, frame.top - 20),
            Class::Muted,
            HPos::Left,
        )?;
        // From the right, so that the last label is never the one left out.
        let mut free = f64::MAX;
        for (&tick, label) in self.x.ticks.iter().zip(&self.x_labels).rev() {
            let x = self.x_of(frame, tick);
            area.draw(&PathElement::new([(x, frame.top), (x, frame.bottom)], grid))?;
            let half = width_of(label) / 2.0;
            if f64::from(x) + half + 4.0 < free {
                free = f64::from(x) - half;
                write(
                    area,
                    label,
                    (x, frame.bottom + 14),
                    Class::Muted,
                    HPos::Center,
                )?;
            }
        }
        let middle = (frame.left + frame.right) / 2;
        write(
            area,
            &self.x_title,
            (middle, frame.bottom + 36),
            Class::Muted,
            HPos::Center,
        )
    }

    fn curve(&self, area: &Area<'_>, frame: &Frame, curve: &Curve<'_>) -> Drawn {
        let place =
            |&(x, spread): &(f64, Spread)| (self.x_of(frame, x), self.y_of(frame, spread.median));
        let places: Vec<(i32, i32)> = curve.points.iter().map(place).collect();
        let line: ShapeStyle = curve.look.line().colour().stroke_width(2);
        if places.len() > 1 {
            area.draw(&PathElement::new(places.clone(), line))?;
        }
        let marked = curve.points.iter().zip(&places).zip(&curve.marked);
        for ((&(_, spread), &(x, y)), _) in marked.filter(|(_, marked)| **marked) {
            let whisker: ShapeStyle = curve.look.outline().colour().stroke_width(1);
            let (low, high) = (self.y_of(frame, spread.low), self.y_of(frame, spread.high));
            area.draw(&PathElement::new([(x, low), (x, high)], whisker))?;
            for end in [low, high] {
                area.draw(&PathElement::new([(x - CAP, end), (x + CAP, end)], whisker))?;
            }
            marker::draw(area, (x, y), curve.look)?;
        }
        Ok(())
    }
}

/// Returns where `value` is between the pixels `from` and `to`.
fn along(scale: &Scale, value: f64, from: i32, to: i32) -> i32 {
    let (low, high) = (scale.place(scale.low), scale.place(scale.high));
    let share = ((scale.place(value) - low) / (high - low)).clamp(-0.02, 1.02);
    from + (share * f64::from(to - from)).round() as i32
}

/// Removes what adding steps leaves behind the twelfth digit.
fn rounded(tick: f64) -> f64 {
    let text = format!("{tick:.12e}");
    text.parse().unwrap_or(tick)
}
