//! A sheet as a drawing: a lane for each thread, a row for each of its tasks, work as blocks and waiting as lines.

mod ends;
mod key;

use std::time::Duration;

use maud::{Markup, PreEscaped, html};
use poetry::event::{Kind, Wait};

use crate::sheet::{Mark, Program, Sheet, Span, State, Task, Thread};
use crate::words;

/// The looks of a sheet, in light, dark and print.
pub const STYLE: &str = include_str!("sheet.css");

/// Rows that are drawn of one program; a screen shows no more, and the rest is counted.
pub const ROWS_MAX: usize = 64;

/// The width of a drawing, in its own units.
const WIDTH: f64 = 960.0;
/// Where the axis begins: left of it are the names.
const LEFT: f64 = 164.0;
const RIGHT: f64 = WIDTH - 12.0;
const ROW: f64 = 18.0;
/// The name of a program; a line of what was found follows, or two.
const HEADING: f64 = 30.0;
const LINE: f64 = 16.0;
const AXIS: f64 = 26.0;
/// Half the width of a time below the axis.
const EDGE: f64 = 24.0;
const GAP: f64 = 10.0;
/// The least width of a block. Most turns are shorter than a hundredth of a unit.
const BLOCK_MIN: f64 = 2.0;
/// Hues of tasks; further tasks use them again.
const HUES: u64 = 8;

/// Draws a sheet as a file of its own.
pub fn svg(sheet: &Sheet, title: &str) -> String {
    let style = format!(
        "{STYLE}svg.sheet {{ background: var(--paper); font-family: system-ui, sans-serif; }}\n"
    );
    let drawn = drawing(sheet, title, Some(&style)).into_string();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{drawn}\n")
}

/// Draws a sheet as part of a page, which has [`STYLE`].
pub(crate) fn drawing(sheet: &Sheet, title: &str, style: Option<&str>) -> Markup {
    let scale = Scale::of(sheet);
    let (mut y, mut parts) = (GAP, Vec::new());
    for program in &sheet.programs {
        let (part, height) = draw_program(sheet, program, scale, y);
        parts.push(part);
        y += height + GAP;
    }
    // A page explains its marks once for all of its sheets.
    let key = style.map(|_| key::draw(sheet, scale, y + AXIS));
    let height = y + AXIS + key.as_ref().map_or(0.0, |(_, height)| *height);
    html! {
        svg.sheet xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height:.0}")) role="img" aria-label=(title) {
            title { (title) }
            @if let Some(style) = style { style { (PreEscaped(style)) } }
            (axis(scale, y))
            @for part in &parts { (part) }
            @if let Some((key, _)) = &key { (key) }
        }
    }
}

/// From times to places.
#[derive(Debug, Clone, Copy)]
struct Scale {
    length: f64,
}

impl Scale {
    fn of(sheet: &Sheet) -> Self {
        // A sheet of a single event has a length too.
        let length = sheet.length.as_secs_f64().max(1e-6);
        Self { length }
    }

    fn x(self, at: Duration) -> f64 {
        LEFT + (RIGHT - LEFT) * at.as_secs_f64() / self.length
    }

    /// Returns the times of about eight lines, in round numbers.
    fn ticks(self) -> Vec<Duration> {
        let rough = self.length / 8.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|step| step * power >= rough);
        let step = step.unwrap_or(10.0) * power;
        let count = (self.length / step + 1e-9).floor() as u32;
        (0..=count)
            .map(|tick| Duration::from_secs_f64(f64::from(tick) * step))
            .collect()
    }
}

fn axis(scale: Scale, bottom: f64) -> Markup {
    html! {
        g.axis {
            @for tick in scale.ticks() {
                @let x = format!("{:.1}", scale.x(tick));
                line.grid x1=(x) x2=(x) y1=(GAP) y2=(format!("{bottom:.1}")) {}
                // The words of a line at the edge stay within the drawing.
                @let anchor = if scale.x(tick) > WIDTH - EDGE { "end" } else { "middle" };
                text.muted x=(x) y=(format!("{:.1}", bottom + 16.0)) text-anchor=(anchor) { (words::time(tick)) }
            }
        }
    }
}

/// Draws a program, and returns the height that it takes.
fn draw_program(sheet: &Sheet, program: &Program, scale: Scale, top: f64) -> (Markup, f64) {
    let found = words::finding(sheet, program);
    let mut y = top + HEADING + LINE * found.len() as f64;
    let (mut rows, mut left) = (Vec::new(), ROWS_MAX);
    let mut hidden = 0;
    let mut tasks = program.threads.iter().flat_map(|thread| &thread.tasks);
    let has_spans = tasks.any(|task| !task.spans.is_empty());
    for thread in &program.threads {
        let tasks = thread.tasks.iter();
        let tasks: Vec<&Task> = tasks.filter(|task| !has_spans || has_row(task)).collect();
        let shown = tasks.len().min(left);
        hidden += tasks.len() - shown;
        left -= shown;
        if shown > 0 {
            let (lane, height) = draw_thread(program, thread, &tasks[..shown], scale, y);
            rows.push(lane);
            y += height;
        }
    }
    if hidden > 0 {
        let further = format!("further {}", words::task(program.role));
        let more = format!("and {}", words::counted(hidden as u64, &further));
        rows.push(html! { text.muted x=(LEFT) y=(format!("{:.1}", y + 13.0)) { (more) } });
        y += ROW;
    }
    let part = html! {
        g {
            text.name x="4" y=(format!("{:.1}", top + 18.0)) { (program.model) " · " (words::role(program.role)) }
            @for (line, words) in found.iter().enumerate() {
                text.muted x="4" y=(format!("{:.1}", top + 36.0 + LINE * line as f64)) { (words) }
            }
            @for row in &rows { (row) }
        }
    };
    (part, y - top)
}

/// Whether there is something to draw of a task of a program with spans. A thread may only have begun it, which another one then ran.
fn has_row(task: &Task) -> bool {
    let ended = |mark: &Mark| matches!(mark.kind, Kind::Finished { .. } | Kind::Failed(_));
    !task.spans.is_empty() || task.marks.iter().any(ended)
}

/// Draws a thread: what it did, and below it a row for each of its tasks. A thread with one task is one row.
fn draw_thread(
    program: &Program,
    thread: &Thread,
    tasks: &[&Task],
    scale: Scale,
    top: f64,
) -> (Markup, f64) {
    let name = format!("thread {}", thread.worker);
    let mut y = top;
    let strip = (tasks.len() > 1).then(|| {
        let strip = draw_strip(thread, &name, scale, y);
        y += ROW;
        strip
    });
    let alone = strip.is_none().then_some(&*name);
    let mut rows = Vec::new();
    for task in tasks {
        rows.push(draw_task(program, task, alone, scale, y));
        y += ROW;
    }
    y += 4.0;
    let drawn = html! {
        g {
            rect.lane x="0" width=(WIDTH) y=(format!("{top:.1}")) height=(format!("{:.1}", y - top - 2.0)) rx="3" {}
            @if let Some(strip) = &strip { (strip) }
            @for row in &rows { (row) }
        }
    };
    (drawn, y - top)
}

/// Draws the work of all tasks of a thread in one row: blocks never overlap, since a thread runs one task at a time.
fn draw_strip(thread: &Thread, name: &str, scale: Scale, y: f64) -> Markup {
    html! {
        text.thread x="8" y=(format!("{:.1}", y + 13.0)) { (name) }
        line.idle x1=(LEFT) x2=(RIGHT) y1=(format!("{:.1}", y + 9.0)) y2=(format!("{:.1}", y + 9.0)) {}
        @for task in &thread.tasks { (blocks(task, scale, y, None)) }
    }
}

fn draw_task(program: &Program, task: &Task, thread: Option<&str>, scale: Scale, y: f64) -> Markup {
    let name = words::task_name(program, task);
    let inset = if thread.is_some() { 8 } else { 20 };
    html! {
        text.task x=(inset) y=(format!("{:.1}", y + 13.0)) {
            @if let Some(thread) = thread { (thread) " · " }
            (name)
        }
        @for line in waits(task, scale) { (line.draw(y + 9.0)) }
        (blocks(task, scale, y, Some(&name)))
        (ends::draw(task, scale, y + 9.0))
    }
}

/// Draws what a task worked. Blocks that touch become one, so that a drawing has at most as many as its width allows.
fn blocks(task: &Task, scale: Scale, y: f64, name: Option<&str>) -> Markup {
    let work = task.spans.iter().filter(|span| span.is_work());
    let merged = merged(work, scale);
    html! {
        @for block in &merged {
            rect class=(format!("h{}", task.number % HUES + 1)) x=(format!("{:.1}", block.x)) y=(format!("{:.1}", y + 3.0))
                width=(format!("{:.1}", block.width)) height="12" {
                @if let Some(name) = name { title { (name) " works for " (words::time(block.work)) } }
            }
        }
    }
}

/// Turns that are drawn as one block.
struct Block {
    x: f64,
    width: f64,
    /// Their length together.
    work: Duration,
}

fn merged<'s>(work: impl Iterator<Item = &'s Span>, scale: Scale) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for span in work {
        let (x, end) = (scale.x(span.from), scale.x(span.to));
        let end = end.max(x + BLOCK_MIN);
        match blocks.last_mut() {
            Some(last) if x <= last.x + last.width + 0.2 => {
                last.width = last.width.max(end - last.x);
                last.work += span.length();
            }
            _ => blocks.push(Block {
                x,
                width: end - x,
                work: span.length(),
            }),
        }
    }
    blocks
}

/// A line of waiting.
struct Line {
    from: f64,
    to: f64,
    wait: Wait,
}

impl Line {
    fn draw(&self, y: f64) -> Markup {
        let y = format!("{y:.1}");
        html! {
            line class=(format!("wait {}", class(self.wait))) x1=(format!("{:.1}", self.from)) x2=(format!("{:.1}", self.to)) y1=(y) y2=(y) {
                title { (words::wait(self.wait)) }
            }
        }
    }
}

/// Returns the waits of a task. Waits for the same thing that follow each other become one line, since the work between them is drawn
/// over it.
fn waits(task: &Task, scale: Scale) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for span in &task.spans {
        let State::Waits(wait) = span.state else {
            continue;
        };
        let (from, to) = (scale.x(span.from), scale.x(span.to));
        match lines.last_mut() {
            Some(last) if last.wait == wait && from - last.to < BLOCK_MIN => {
                last.to = last.to.max(to)
            }
            _ if to - from < 0.1 => {}
            _ => lines.push(Line { from, to, wait }),
        }
    }
    lines
}

/// Returns the class of a wait, which decides how its line is drawn.
pub(crate) fn class(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "connect",
        Wait::Read => "read",
        Wait::Write => "write",
        Wait::Pace => "pace",
        Wait::Turn => "turn",
        Wait::Permit => "permit",
        Wait::Task => "other",
    }
}

#[cfg(test)]
mod tests;
