//! Markers: a shape for each hue.

use plotters::element::{Circle, Polygon};
use plotters::prelude::{Color, PathElement};
use plotters::style::ShapeStyle;

use super::looks::Look;
use super::style::Class;
use super::{Area, Drawn};

/// The distance of a marker's edge from its centre, in pixels.
const RADIUS: f64 = 4.5;

/// Draws the marker of `look` at `centre`, in pixels of `area`.
pub(super) fn draw(area: &Area<'_>, centre: (i32, i32), look: Look) -> Drawn {
    let filled = match look.hollow {
        true => Class::Paper,
        false => look.fill(),
    };
    let fill = filled.colour().filled();
    let outline = look.outline().colour().stroke_width(2);
    match corners(look.hue) {
        None => {
            area.draw(&Circle::new(centre, RADIUS as i32, fill))?;
            if look.hollow {
                area.draw(&Circle::new(centre, RADIUS as i32, outline))?;
            }
        }
        Some(corners) => {
            let at = |&(x, y): &(f64, f64)| {
                let pixels = |offset: f64| (offset * RADIUS).round() as i32;
                (centre.0 + pixels(x), centre.1 + pixels(y))
            };
            let mut corners: Vec<(i32, i32)> = corners.iter().map(at).collect();
            area.draw(&Polygon::new(corners.clone(), fill))?;
            if look.hollow {
                corners.extend(corners.first().copied());
                area.draw(&PathElement::new::<_, ShapeStyle>(corners, outline))?;
            }
        }
    }
    Ok(())
}

/// Returns the corners of the shape, relative to its size, or `None` for a circle.
fn corners(hue: u8) -> Option<&'static [(f64, f64)]> {
    const SQUARE: &[(f64, f64)] = &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)];
    const UP: &[(f64, f64)] = &[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)];
    const DIAMOND: &[(f64, f64)] = &[(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)];
    const DOWN: &[(f64, f64)] = &[(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)];
    const LEFT: &[(f64, f64)] = &[(-1.2, 0.0), (0.9, -1.15), (0.9, 1.15)];
    const RIGHT: &[(f64, f64)] = &[(1.2, 0.0), (-0.9, -1.15), (-0.9, 1.15)];
    const PLUS: &[(f64, f64)] = &[
        (-0.45, -1.2),
        (0.45, -1.2),
        (0.45, -0.45),
        (1.2, -0.45),
        (1.2, 0.45),
        (0.45, 0.45),
        (0.45, 1.2),
        (-0.45, 1.2),
        (-0.45, 0.45),
        (-1.2, 0.45),
        (-1.2, -0.45),
        (-0.45, -0.45),
    ];
    const BAR: &[(f64, f64)] = &[(-1.3, -0.5), (1.3, -0.5), (1.3, 0.5), (-1.3, 0.5)];
    match hue {
        0 => Some(BAR),
        1 => None,
        2 => Some(SQUARE),
        3 => Some(UP),
        4 => Some(DIAMOND),
        5 => Some(DOWN),
        6 => Some(PLUS),
        7 => Some(LEFT),
        _ => Some(RIGHT),
    }
}
