//! A bar for each subject from zero to its median, with a whisker from the lowest to the highest round and a dot for each.

use plotters::element::Circle;
use plotters::prelude::{PathElement, Rectangle};
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, ShapeStyle};

use super::frame::{fitted, width_of, write};
use super::lines::titled;
use super::looks::Look;
use super::style::Class;
use super::ticks::Scale;
use super::{Area, Drawn, Width};
use crate::analysis::{Analysis, Place, finding, words};
use crate::results::Metric;

/// Pixels of a row, of a bar in it, and of the axis below.
const ROW: i32 = 28;
const BAR: i32 = 14;
const AXIS: i32 = 52;
const MARGIN: i32 = 12;

/// A row of the plot.
enum Line<'r> {
    /// The title of a point.
    Title(String),
    /// A subject with its values at a point; none if it is void or has none.
    Subject {
        name: &'r str,
        look: Look,
        values: Vec<f64>,
        void: bool,
    },
}

/// Returns the height of the plot.
pub(super) fn height(analysis: &Analysis<'_>) -> u32 {
    let (points, subjects) = (analysis.scenario.points().len(), analysis.subjects().len());
    let titles = if points > 1 { points } else { 0 };
    let rows = i32::try_from(points * subjects + titles).unwrap_or(i32::MAX / ROW / 2);
    u32::try_from(rows * ROW + AXIS + MARGIN).unwrap_or_default()
}

/// Draws the bars of `metric`.
pub(super) fn draw(analysis: &Analysis<'_>, metric: &str, area: &Area<'_>, width: Width) -> Drawn {
    let Some(metric) = analysis.scenario.metric(metric) else {
        return Err("the metric of the figure is not one of the scenario".into());
    };
    let lines = lines(analysis, metric);
    let layout = Layout::of(&lines, metric, width);
    layout.grid(area, lines.len(), metric)?;
    for (row, line) in lines.iter().enumerate() {
        let middle = MARGIN + i32::try_from(row)? * ROW + ROW / 2;
        match line {
            Line::Title(title) => write(area, title, (MARGIN, middle), Class::Muted, HPos::Left)?,
            Line::Subject { .. } => layout.bar(area, middle, line, metric)?,
        }
    }
    Ok(())
}

fn lines<'r>(analysis: &Analysis<'r>, metric: &Metric) -> Vec<Line<'r>> {
    let points = analysis.scenario.points();
    let mut lines = Vec::new();
    for &point in &points {
        if let Some(axis) = analysis.scenario.axis.as_ref().filter(|_| points.len() > 1) {
            lines.push(Line::Title(finding::on_axis(point, axis)));
        }
        for subject in analysis.subjects() {
            lines.push(Line::Subject {
                name: &subject.name,
                look: Look::of(analysis.results, subject),
                values: analysis
                    .sample(&subject.name, metric, Place::Point(point))
                    .values(),
                void: analysis.scenario.void(&subject.name, point).is_some(),
            });
        }
    }
    lines
}

/// Where things are, in pixels.
struct Layout {
    names: i32,
    right: i32,
    scale: Scale,
}

impl Layout {
    fn of(lines: &[Line<'_>], metric: &Metric, width: Width) -> Self {
        let (mut longest, mut figure, mut highest) = (0.0, 0.0, 0.0);
        for line in lines {
            let Line::Subject { name, values, .. } = line else {
                continue;
            };
            longest = width_of(name).max(longest);
            for &value in values {
                highest = value.max(highest);
                figure = width_of(&words::value(value, &metric.unit)).max(figure);
            }
        }
        let total = width.pixels() as i32;
        let ticks = if width == Width::Wide { 6 } else { 3 };
        Self {
            names: MARGIN + (longest as i32 + 10).min(total * 3 / 10),
            right: total - MARGIN - figure as i32 - 8,
            scale: Scale::linear(0.0, highest, ticks, short(&metric.unit)),
        }
    }

    fn x(&self, value: f64) -> i32 {
        let share = (value - self.scale.low) / (self.scale.high - self.scale.low);
        self.names + (share * f64::from(self.right - self.names)).round() as i32
    }

    fn grid(&self, area: &Area<'_>, rows: usize, metric: &Metric) -> Drawn {
        let bottom = MARGIN + i32::try_from(rows)? * ROW;
        let grid: ShapeStyle = Class::Grid.colour().stroke_width(1);
        for &tick in &self.scale.ticks {
            let x = self.x(tick);
            area.draw(&PathElement::new([(x, MARGIN), (x, bottom)], grid))?;
            let label = words::value(tick, short(&metric.unit));
            write(area, &label, (x, bottom + 12), Class::Muted, HPos::Center)?;
        }
        let title = titled(&metric.title, &metric.unit);
        let middle = (self.names + self.right) / 2;
        write(
            area,
            &title,
            (middle, bottom + 34),
            Class::Muted,
            HPos::Center,
        )
    }

    fn bar(&self, area: &Area<'_>, middle: i32, line: &Line<'_>, metric: &Metric) -> Drawn {
        let Line::Subject {
            name,
            look,
            values,
            void,
        } = line
        else {
            return Ok(());
        };
        let room = f64::from(self.names - MARGIN - 8);
        write(
            area,
            &fitted(name, room),
            (self.names - 8, middle),
            Class::Ink,
            HPos::Right,
        )?;
        let Some(spread) = crate::statistics::Spread::of(values.iter().copied()) else {
            let words = if *void { "void" } else { "not available" };
            return write(
                area,
                words,
                (self.names + 6, middle),
                Class::Muted,
                HPos::Left,
            );
        };
        let (top, bottom) = (middle - BAR / 2, middle + BAR / 2);
        let corners = [(self.x(0.0), top), (self.x(spread.median), bottom)];
        if look.hollow {
            let outline: ShapeStyle = look.line().colour().stroke_width(2);
            area.draw(&Rectangle::new(corners, outline))?;
        } else {
            area.draw(&Rectangle::new(corners, look.fill().colour().filled()))?;
        }
        self.whisker(area, middle, spread.low, spread.high)?;
        for &value in values {
            let dot = Class::Ink.colour().filled();
            area.draw(&Circle::new((self.x(value), middle), 2, dot))?;
        }
        let figure = words::value(spread.median, &metric.unit);
        let after = self.x(spread.high.max(spread.median)) + 8;
        write(area, &figure, (after, middle), Class::Ink, HPos::Left)
    }

    fn whisker(&self, area: &Area<'_>, middle: i32, low: f64, high: f64) -> Drawn {
        let style = Class::Ink.colour().filled();
        let (low, high) = (self.x(low), self.x(high));
        area.draw(&Rectangle::new([(low, middle), (high, middle + 1)], style))?;
        for end in [low, high] {
            area.draw(&Rectangle::new(
                [(end, middle - 5), (end + 1, middle + 5)],
                style,
            ))?;
        }
        Ok(())
    }
}

/// The unit of a tick: the title of the axis has those that do not change with size.
pub(super) fn short(unit: &str) -> &str {
    match unit {
        "B" | "ns" => unit,
        _ => "",
    }
}
