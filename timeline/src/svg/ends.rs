//! How tasks end: a dot if all went well, a cross and its cause in words if not.

use maud::{Markup, html};

use super::{RIGHT, Scale};
use crate::sheet::Task;
use crate::words::{self, End};

/// From a cross to its words.
const GAP: f64 = 8.0;
/// The widest words. If there is less room to the right of a cross, they are written to its left.
const WORDS: f64 = 150.0;

/// Draws the ends of a task: those of a fetch and of its transform, or that of a connection. Only the last cross has words, since
/// words of two would overlap.
pub(super) fn draw(task: &Task, scale: Scale, y: f64) -> Markup {
    let ends = task
        .marks
        .iter()
        .filter_map(|mark| Some((scale.x(mark.at), mark, words::end(mark)?)));
    let ends: Vec<_> = ends.collect();
    let crosses = ends.iter().rev();
    let cause = crosses.into_iter().find_map(|(x, _, end)| match end {
        End::Bad(cause) => Some((*x, cause)),
        End::Good => None,
    });
    html! {
        @for (x, mark, end) in &ends {
            @let title = words::event(&mark.kind).unwrap_or_default();
            @match end {
                End::Good => circle.end cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3" { title { (title) } }
                End::Bad(_) => path.fail d=(format!("M{:.1} {:.1}l6 6m0 -6l-6 6", x - 3.0, y - 3.0)) { title { (title) } }
            }
        }
        @if let Some((x, cause)) = cause {
            @let (x, anchor) = if x + GAP + WORDS > RIGHT { (x - GAP, "end") } else { (x + GAP, "start") };
            text.why x=(format!("{x:.1}")) y=(format!("{:.1}", y + 4.0)) text-anchor=(anchor) { (cause) }
        }
    }
}
