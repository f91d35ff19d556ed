//! A sequence diagram as a drawing: a column for each participant, and time from top to bottom, in order and not to scale.

use maud::{Markup, PreEscaped, html};

use super::{Diagram, Line};
use crate::svg::STYLE;
use crate::words::{self, counted};

/// The least width of a drawing, in its own units: that of a sheet.
const WIDTH_MIN: f64 = 960.0;
/// Where the columns begin: left of it are the times.
const LEFT: f64 = 64.0;
/// A participant: its name, and its address below.
const HEAD: f64 = 38.0;
const HEAD_WIDTH: f64 = 148.0;
/// The least width of a column. More participants than fit in the least width make a drawing wider.
const COLUMN_MIN: f64 = HEAD_WIDTH + 12.0;
/// A line of words.
const LINE: f64 = 15.0;
/// The height of a message: its words, its arrow and a gap.
const MESSAGE: f64 = 30.0;
/// The letters of a note, at most; longer ones have more lines.
const NOTE_LETTERS: usize = 24;
/// The width of a letter, nearly.
const LETTER: f64 = 6.4;

const LOOKS: &str = "svg.sheet { background: var(--paper); font-family: system-ui, sans-serif; }
.sheet .life { stroke: var(--muted); stroke-dasharray: 3 4; }
.sheet .head { fill: var(--shade); stroke: var(--muted); }
.sheet .note { fill: var(--paper); stroke: var(--hue5); }
.sheet .arrow { stroke-width: 1.5; }
.sheet .connects { stroke: var(--ink); } .sheet .bytes { stroke: var(--hue1); }
.sheet marker .connects { fill: var(--ink); stroke: none; } .sheet marker .bytes { fill: var(--hue1); stroke: none; }
.sheet text.said { stroke: var(--paper); stroke-width: 4; stroke-linejoin: round; paint-order: stroke; }
";

/// Draws a diagram as a file.
pub(super) fn draw(diagram: &Diagram, title: &str) -> String {
    let columns = Columns(diagram.participants.len());
    let width = LEFT + columns.width() * columns.0 as f64;
    let (mut y, mut rows, mut last) = (HEAD + 22.0, Vec::new(), None);
    for (at, line) in &diagram.lines {
        let (row, height) = draw_line(line, columns, y);
        // What happens at the same time, as far as three digits tell, has the time once.
        let time = Some(words::time(*at)).filter(|time| last.as_ref() != Some(time));
        rows.push(html! {
            @if let Some(time) = &time { text.muted x="4" y=(format!("{:.1}", y + 4.0)) { (time) } }
            (row)
        });
        last = time.or(last);
        y += height;
    }
    if diagram.left_out > 0 {
        let further = counted(diagram.left_out as u64, "further message");
        rows.push(html! { text.muted x=(LEFT) y=(format!("{y:.1}")) { "and " (further) } });
        y += MESSAGE;
    }
    let drawn = html! {
        svg.sheet xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {y:.0}")) role="img" aria-label=(title) {
            title { (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(LOOKS)) }
            defs { (tip("connects")) (tip("bytes")) }
            @for (at, name) in diagram.participants.iter().enumerate() { (draw_participant(name, columns.x(at), y)) }
            @for row in &rows { (row) }
        }
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n",
        drawn.into_string()
    )
}

/// Where the participants are, by their number.
#[derive(Clone, Copy)]
struct Columns(usize);

impl Columns {
    fn width(self) -> f64 {
        ((WIDTH_MIN - LEFT) / self.0.max(1) as f64).max(COLUMN_MIN)
    }

    fn x(self, participant: usize) -> f64 {
        LEFT + self.width() * (participant as f64 + 0.5)
    }
}

fn tip(id: &str) -> Markup {
    html! {
        marker id=(id) markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto" markerUnits="userSpaceOnUse" {
            path class=(id) d="M0 0L9 4L0 8z" {}
        }
    }
}

/// Draws a participant with its line of life. An address has a line of its own.
fn draw_participant(name: &str, x: f64, bottom: f64) -> Markup {
    let (name, address) = match name.rsplit_once(' ') {
        Some((name, address)) if address.contains(':') => (name, Some(address)),
        _ => (name, None),
    };
    let middle = address.map_or(23.0, |_| 16.0);
    let (left, x) = (format!("{:.1}", x - HEAD_WIDTH / 2.0), format!("{x:.1}"));
    html! {
        line.life x1=(x) x2=(x) y1=(HEAD) y2=(format!("{:.1}", bottom - 6.0)) {}
        rect.head x=(left) y="2" width=(HEAD_WIDTH) height=(HEAD - 4.0) rx="3" {}
        text.thread x=(x) y=(middle) text-anchor="middle" { (name) }
        @if let Some(address) = address { text.muted x=(x) y="31" text-anchor="middle" { (address) } }
    }
}

/// Draws a line at `y`, and returns its height.
fn draw_line(line: &Line, columns: Columns, y: f64) -> (Markup, f64) {
    match line {
        Line::Connects { from, to } => (arrow(line, columns, (*from, *to), "connects", y), MESSAGE),
        Line::Bytes { from, to, .. } => (arrow(line, columns, (*from, *to), "bytes", y), MESSAGE),
        Line::Note { over, words } => draw_note(words, columns.x(*over), y),
    }
}

fn arrow(line: &Line, columns: Columns, (from, to): (usize, usize), class: &str, y: f64) -> Markup {
    let (from, to) = (columns.x(from), columns.x(to));
    html! {
        line class={ "arrow " (class) } x1=(format!("{from:.1}")) x2=(format!("{to:.1}")) y1=(format!("{:.1}", y + 6.0)) y2=(format!("{:.1}", y + 6.0))
            marker-end=(format!("url(#{class})")) {}
        text.said x=(format!("{:.1}", (from + to) / 2.0)) y=(format!("{y:.1}")) text-anchor="middle" { (line.words()) }
    }
}

fn draw_note(words: &str, x: f64, y: f64) -> (Markup, f64) {
    let lines = wrapped(words, NOTE_LETTERS);
    let longest = lines.iter().map(|line| line.chars().count()).max();
    let width = LETTER * longest.unwrap_or(0) as f64 + 16.0;
    let height = LINE * lines.len() as f64 + 8.0;
    let note = html! {
        rect.note x=(format!("{:.1}", x - width / 2.0)) y=(format!("{:.1}", y - 12.0)) width=(format!("{width:.1}")) height=(format!("{height:.1}")) rx="3" {}
        @for (at, line) in lines.iter().enumerate() {
            text x=(format!("{x:.1}")) y=(format!("{:.1}", y + 3.0 + LINE * at as f64)) text-anchor="middle" { (line) }
        }
    };
    (note, height + 16.0)
}

/// Splits text at spaces into lines of at most so many letters; a longer word is not split.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                *line += " ";
                *line += word;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
