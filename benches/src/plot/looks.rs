//! How a subject looks: the same in every plot.

use super::style::Class;
use crate::results::{Entrant, Kind, Results};

/// The hues besides that of the floor. Further subjects use them again with other dashes.
const HUES: u8 = 8;
const SOLID: u8 = 0;
const DASHED: u8 = 1;
const DOTTED: u8 = 2;
const DASHED_AND_DOTTED: u8 = 3;

/// The look of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// The hue: 0 is the floor's.
    pub(super) hue: u8,
    /// The dashes of its line.
    pub(super) dash: u8,
    /// Whether its marker is an outline only.
    pub(super) hollow: bool,
}

impl Look {
    /// Returns the look of `subject`, which depends on the subjects alone. A bare loop has the hue of its model, and so has a
    /// second entry of a subject.
    pub(super) fn of(results: &Results, subject: &Entrant) -> Self {
        let plain = |hue, dash, hollow| Self { hue, dash, hollow };
        if subject.kind == Kind::Floor {
            return plain(0, SOLID, false);
        }
        let named = |name: &str| results.subjects.iter().find(|other| other.name == name);
        if let Some(first) = subject.again.as_deref().and_then(named) {
            return plain(hue(results, first).0, DOTTED, true);
        }
        let model = |other: &&Entrant| other.baseline.as_deref() == Some(&subject.name);
        if let Some(model) = results.subjects.iter().find(model) {
            return plain(hue(results, model).0, DASHED, true);
        }
        let (hue, again) = hue(results, subject);
        plain(hue, if again { DASHED_AND_DOTTED } else { SOLID }, again)
    }

    /// Returns the class of its line.
    pub(super) fn line(self) -> Class {
        Class::Line {
            hue: self.hue,
            dash: self.dash,
        }
    }

    /// Returns the class of its outlines and whiskers, which are not dashed.
    pub(super) fn outline(self) -> Class {
        Class::Line {
            hue: self.hue,
            dash: SOLID,
        }
    }

    /// Returns the class of its filled shapes.
    pub(super) fn fill(self) -> Class {
        Class::Fill { hue: self.hue }
    }
}

/// Returns the hue of a subject that is no other's bare loop or second entry, and whether an earlier one has it.
fn hue(results: &Results, subject: &Entrant) -> (u8, bool) {
    let is_model_of = |name: &str| {
        results
            .subjects
            .iter()
            .any(|other| other.baseline.as_deref() == Some(name))
    };
    let own = results.subjects.iter().filter(|other| {
        other.kind != Kind::Floor && other.again.is_none() && !is_model_of(&other.name)
    });
    let place = own.take_while(|other| other.name != subject.name).count();
    let hue = (place % usize::from(HUES)) as u8 + 1;
    (hue, place >= usize::from(HUES))
}
