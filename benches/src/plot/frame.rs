//! The drawing area, text in it, and names that fit.

use plotters::drawing::IntoDrawingArea;
use plotters::prelude::{SVGBackend, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, TextStyle};

use super::style::Class;
use super::{Area, Drawn};

/// The size of text, in pixels.
pub(super) const TEXT: f64 = 13.0;
/// `plotters` takes the height of a line for the size of a font.
const LINE_OF_FONT: f64 = 1.24;

/// Returns the area of a plot that is written to `svg`.
pub(super) fn area(svg: &mut String, wide: u32, high: u32) -> Area<'_> {
    SVGBackend::with_string(svg, (wide, high)).into_drawing_area()
}

/// Returns the style of text: its class, and what of it is at its position.
pub(super) fn text(class: Class, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle {
        font: ("sans-serif", TEXT * LINE_OF_FONT).into_font(),
        color: class.colour().to_backend_color(),
        pos: Pos::new(horizontal, vertical),
    }
}

/// Writes `words` at `place`.
pub(super) fn write(
    area: &Area<'_>,
    words: &str,
    place: (i32, i32),
    class: Class,
    horizontal: HPos,
) -> Drawn {
    let style = text(class, horizontal, VPos::Center);
    area.draw(&Text::new(words.to_owned(), place, style))?;
    Ok(())
}

/// Returns about how wide `words` are, in pixels.
pub(super) fn width_of(words: &str) -> f64 {
    words.chars().count() as f64 * TEXT * 0.56
}

/// Returns `words`, cut with an ellipsis where they are wider than `pixels`.
pub(super) fn fitted(words: &str, pixels: f64) -> String {
    if width_of(words) <= pixels {
        return words.to_owned();
    }
    let fitting = (pixels / width_of("n")) as usize;
    let kept: String = words.chars().take(fitting.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
