//! The legend: a sample of each subject's line with its marker and name, in rows that fit.

use plotters::prelude::PathElement;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, ShapeStyle};

use super::frame::{TEXT, fitted, width_of, write};
use super::looks::Look;
use super::style::Class;
use super::{Area, Drawn, Width, marker};

/// Pixels of the sample of a line, of the gap after it, and between entries.
const SAMPLE: i32 = 28;
const GAP: i32 = 6;
const BETWEEN: i32 = 18;
const ROW: i32 = (TEXT * 1.7) as i32;
const MARGIN: i32 = 12;

/// An entry's text and place.
struct Entry {
    name: String,
    place: (i32, i32),
}

/// Returns the height of a legend of `names`.
pub(super) fn height(names: &[&str], width: Width) -> u32 {
    let rows = entries(names, width)
        .last()
        .map_or(0, |last| last.place.1 / ROW + 1);
    u32::try_from(rows * ROW + GAP).unwrap_or_default()
}

/// Draws the legend at the top of `area`.
pub(super) fn draw(area: &Area<'_>, subjects: &[(&str, Look)], width: Width) -> Drawn {
    let names: Vec<&str> = subjects.iter().map(|(name, _)| *name).collect();
    for (entry, (_, look)) in entries(&names, width).iter().zip(subjects) {
        let (x, y) = (entry.place.0, entry.place.1 + ROW / 2 + GAP / 2);
        sample(area, (x, y), *look)?;
        write(
            area,
            &entry.name,
            (x + SAMPLE + GAP, y),
            Class::Ink,
            HPos::Left,
        )?;
    }
    Ok(())
}

/// Draws a piece of a subject's line with its marker, from `start` to the right.
pub(super) fn sample(area: &Area<'_>, (x, y): (i32, i32), look: Look) -> Drawn {
    let line: ShapeStyle = look.line().colour().stroke_width(2);
    area.draw(&PathElement::new([(x, y), (x + SAMPLE, y)], line))?;
    marker::draw(area, (x + SAMPLE / 2, y), look)
}

/// Places entries in columns of equal width.
fn entries(names: &[&str], width: Width) -> Vec<Entry> {
    let room = width.pixels() as i32 - 2 * MARGIN;
    let own = SAMPLE + GAP + BETWEEN;
    let longest = names.iter().map(|name| width_of(name)).fold(0.0, f64::max) as i32;
    let column = (longest + own).min(room);
    let columns = (room / column.max(1)).max(1);
    let entry = |(index, name): (usize, &&str)| {
        let index = i32::try_from(index).unwrap_or_default();
        Entry {
            name: fitted(name, f64::from(column - own + BETWEEN)),
            place: (MARGIN + index % columns * column, index / columns * ROW),
        }
    };
    names.iter().enumerate().map(entry).collect()
}
