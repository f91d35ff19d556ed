//! Classes instead of colours: `plotters` writes colours as attributes, so it is given colours that stand for classes.

use plotters::style::RGBColor;

/// The colours of plots, in light, dark and print, and the dashes of lines. Colours differ in lightness as well as in hue, and every
/// subject has a marker of its own, so that nothing is said by colour alone.
pub const STYLE: &str = include_str!("plot.css");

/// What a plot that is a file of its own needs besides.
pub(super) const STANDALONE: &str =
    "svg { background: var(--paper); font-family: system-ui, sans-serif; }\n";

/// A class that an element is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The line of a subject: its hue and its dashes.
    Line { hue: u8, dash: u8 },
    /// The filled shape of a subject.
    Fill { hue: u8 },
    /// Text.
    Ink,
    /// Text of less weight.
    Muted,
    /// Lines of the grid.
    Grid,
    /// Whatever has the colour of the page.
    Paper,
    /// The line of the ideal.
    Ideal,
}

/// The red of colours that stand for classes.
const LINE: u8 = 0xF1;
const FILL: u8 = 0xF2;
const OTHER: u8 = 0xF3;

impl Class {
    /// Returns the colour that stands for this class.
    pub(super) fn colour(self) -> RGBColor {
        match self {
            Self::Line { hue, dash } => RGBColor(LINE, dash, hue),
            Self::Fill { hue } => RGBColor(FILL, 0, hue),
            Self::Ink => RGBColor(OTHER, 0, 0),
            Self::Muted => RGBColor(OTHER, 0, 1),
            Self::Grid => RGBColor(OTHER, 0, 2),
            Self::Paper => RGBColor(OTHER, 0, 3),
            Self::Ideal => RGBColor(OTHER, 0, 4),
        }
    }
}

/// Replaces the colours that stand for classes by the classes.
pub(super) fn with_classes(svg: &str) -> String {
    let mut classed = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some(at) = rest.find("=\"#F") {
        let (before, attribute) = rest.split_at(at);
        // `="#` is followed by six digits and a quote.
        let colour = attribute
            .get(3..9)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let name = before.rsplit(' ').next().unwrap_or_default();
        match colour.and_then(|colour| class_of(colour.to_be_bytes(), name)) {
            Some(class) => {
                classed += &before[..before.len() - name.len()];
                classed += &format!("class=\"{class}\"");
            }
            None => {
                classed += before;
                classed += attribute.get(..10).unwrap_or(attribute);
            }
        }
        rest = attribute.get(10..).unwrap_or_default();
    }
    classed + rest
}

/// Returns the class of a colour in the attribute `name`.
fn class_of([_, kind, dash, which]: [u8; 4], name: &str) -> Option<String> {
    match (kind, name, which) {
        (LINE, "stroke", hue) => Some(format!("s{hue} d{dash}")),
        (FILL, "fill", hue) => Some(format!("f{hue}")),
        (OTHER, "fill", 0) => Some("ink".to_owned()),
        (OTHER, "fill", 1) => Some("muted".to_owned()),
        (OTHER, "stroke", 2) => Some("grid".to_owned()),
        (OTHER, "fill", 3) => Some("paper".to_owned()),
        (OTHER, "stroke", 4) => Some("ideal".to_owned()),
        _ => None,
    }
}

/// Escapes text for XML.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '"' => escaped += "&quot;",
            // Not allowed in XML at all.
            control if control.is_control() && !control.is_whitespace() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_others_stay() {
        let svg = r##"<line stroke="#F10103" x1="1"/><rect fill="#F20002" stroke="none"/><text fill="#F30000">a</text><a fill="#FFFFFF"/>"##;
        let classed = r##"<line class="s3 d1" x1="1"/><rect class="f2" stroke="none"/><text class="ink">a</text><a fill="#FFFFFF"/>"##;
        assert_eq!(with_classes(svg), classed);
    }

    #[test]
    fn a_colour_and_its_class_belong_together() {
        let RGBColor(red, green, blue) = Class::Line { hue: 7, dash: 2 }.colour();
        assert_eq!(
            class_of([0, red, green, blue], "stroke").as_deref(),
            Some("s7 d2")
        );
    }
}
