//! The key of a drawing: what its blocks, lines, dots and crosses mean. It has only those that can be seen.

use std::collections::BTreeSet;

use maud::{Markup, html};
use poetry::event::Wait;

use super::{BLOCK_MIN, LINE, RIGHT, Scale, class, waits};
use crate::sheet::{Sheet, Span, Task};
use crate::words::{self, End};

/// Where the key begins.
const LEFT: f64 = 8.0;
/// The width of a mark, and of the gap between two entries.
const MARK: f64 = 34.0;
const GAP: f64 = 24.0;
/// The width of a letter of the key, nearly: the width of a text is not known before it is shown.
const LETTER: f64 = 6.3;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Work,
    Wait(Wait),
    Good,
    Bad,
}

/// Draws the key below `top`, and returns its height.
pub(super) fn draw(sheet: &Sheet, scale: Scale, top: f64) -> (Markup, f64) {
    let (mut x, mut y, mut drawn) = (LEFT, top + LINE, Vec::new());
    for entry in entries(sheet, scale) {
        let words = entry.words();
        let width = MARK + 6.0 + LETTER * words.chars().count() as f64;
        if x > LEFT && x + width > RIGHT {
            (x, y) = (LEFT, y + LINE);
        }
        drawn.push(html! {
            (entry.mark(x, y - 4.0))
            text.muted x=(format!("{:.1}", x + MARK + 6.0)) y=(format!("{y:.1}")) { (words) }
        });
        x += width + GAP;
    }
    let key = html! { g.key { @for entry in &drawn { (entry) } } };
    (key, y + 6.0 - top)
}

fn entries(sheet: &Sheet, scale: Scale) -> BTreeSet<Entry> {
    let threads = sheet.programs.iter().flat_map(|program| &program.threads);
    let tasks = threads.flat_map(|thread| &thread.tasks);
    tasks.flat_map(|task| entries_of(task, scale)).collect()
}

fn entries_of(task: &Task, scale: Scale) -> impl Iterator<Item = Entry> {
    let works = task.spans.iter().any(Span::is_work);
    let works = works.then_some(Entry::Work);
    // A shorter line is hidden by the blocks at its ends.
    let lines = waits(task, scale).into_iter();
    let lines = lines.filter(|line| line.to - line.from > BLOCK_MIN);
    let marks = task.marks.iter().filter_map(|mark| {
        Some(match words::end(mark)? {
            End::Good => Entry::Good,
            End::Bad(_) => Entry::Bad,
        })
    });
    let waits = lines.map(|line| Entry::Wait(line.wait));
    works.into_iter().chain(waits).chain(marks)
}

impl Entry {
    fn words(self) -> &'static str {
        match self {
            Self::Work => "the thread runs the task",
            Self::Wait(wait) => words::wait(wait),
            Self::Good => "ended well",
            Self::Bad => "failed",
        }
    }

    fn mark(self, x: f64, y: f64) -> Markup {
        let (middle, y1) = (x + MARK / 2.0, format!("{y:.1}"));
        match self {
            Self::Work => html! {
                rect.h1 x=(format!("{:.1}", middle - 6.0)) y=(format!("{:.1}", y - 6.0)) width="12" height="11" {}
            },
            Self::Wait(wait) => html! {
                line class={ "wait " (class(wait)) } x1=(format!("{x:.1}")) x2=(format!("{:.1}", x + MARK)) y1=(y1) y2=(y1) {}
            },
            Self::Good => html! { circle.end cx=(format!("{middle:.1}")) cy=(y1) r="3" {} },
            Self::Bad => html! {
                path.fail d=(format!("M{:.1} {:.1}l6 6m0 -6l-6 6", middle - 3.0, y - 3.0)) {}
            },
        }
    }
}
