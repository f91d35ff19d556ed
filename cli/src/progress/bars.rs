//! Progress as bars on a terminal. Events only move counters; one thread draws them a few times a second, so a slow
//! terminal delays no fetch (S22). Every line fits the width of the terminal.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use console::measure_text_width;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use poetry::event::Interest;
use poetry::{Event, FetchFailure, Kind, Observer, Outcome, Role};

use super::clock;
use crate::terminal;
use crate::words::counted;

/// Poems with a line of their own; a screen holds no more. The last line counts all of them.
const BARS_MAX: usize = 16;
const REDRAW: Duration = Duration::from_millis(80);
/// The length of the bar, where there is room for it.
const BAR_COLUMNS: usize = 30;
/// A shorter bar shows nothing.
const BAR_COLUMNS_MIN: usize = 5;
/// Columns before every line: a spinner or blank, and a space.
const MARGIN: usize = 2;

/// The bars of a fetch.
pub(super) struct Bars {
    tasks: Arc<Tasks>,
    drawing: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Bars {
    /// Starts to draw a line for each of `poems`.
    pub(super) fn start(mut poems: Vec<Poem>) -> Self {
        align(&mut poems);
        let tasks = Arc::new(Tasks(poems.iter().map(|_| Task::default()).collect()));
        let (end, ended) = mpsc::channel();
        let drawn = Arc::clone(&tasks);
        let draw = move || {
            let screen = Screen::new(poems);
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(REDRAW) {
                screen.draw(&drawn);
            }
            screen.draw(&drawn);
            screen.keep();
        };
        let thread = thread::Builder::new().name("bars".to_owned()).spawn(draw);
        Self {
            tasks,
            drawing: Mutex::new(thread.ok().map(|thread| (end, thread))),
        }
    }

    /// Returns the observer that moves the bars.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        self.tasks.clone()
    }

    /// Draws the final state, as `outcomes` have it, and keeps it on the screen.
    pub(super) fn end(&self, outcomes: &[Outcome]) {
        for (task, outcome) in self.tasks.0.iter().zip(outcomes) {
            if outcome.poem.is_err() {
                task.set(TaskState::Failed);
            }
        }
        let drawing = self
            .drawing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((end, thread)) = drawing {
            drop(end);
            let _ = thread.join();
        }
    }
}

/// A poem as its line names it.
pub(super) struct Poem {
    /// The address, and the name if it has one.
    pub(super) label: String,
    /// The name alone, for a narrow terminal.
    pub(super) name: Option<String>,
}

/// Pads the labels and the names that have a line, so that the bytes are in one column.
fn align(poems: &mut [Poem]) {
    let shown = poems.len().min(BARS_MAX);
    let shown = &mut poems[..shown];
    let width = |text: &str| measure_text_width(text);
    let longest = shown.iter().map(|poem| width(&poem.label)).max();
    let names = shown.iter().flat_map(|poem| &poem.name);
    let longest_name = names.map(|name| width(name)).max();
    let pad = |text: &mut String, longest: Option<usize>| {
        let missing = longest.unwrap_or_default().saturating_sub(width(text));
        text.extend(std::iter::repeat_n(' ', missing));
    };
    for poem in shown {
        pad(&mut poem.label, longest);
        poem.name
            .iter_mut()
            .for_each(|name| pad(name, longest_name));
    }
}

struct Tasks(Vec<Task>);

/// A poem's progress.
#[derive(Default)]
struct Task {
    bytes: AtomicU64,
    /// A [`TaskState`].
    state: AtomicU8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum TaskState {
    Arriving,
    Failed,
    Arrived,
    Transformed,
    NotTransformed,
}

impl TaskState {
    const ALL: [Self; 5] = [
        Self::Arriving,
        Self::Failed,
        Self::Arrived,
        Self::Transformed,
        Self::NotTransformed,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Arriving => "",
            Self::Failed => "failed",
            Self::Arrived => "arrived",
            Self::Transformed => "transformed",
            Self::NotTransformed => "not transformed",
        }
    }
}

impl Task {
    fn set(&self, state: TaskState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn state(&self) -> TaskState {
        TaskState::ALL[usize::from(self.state.load(Ordering::Relaxed))]
    }
}

impl Observer for Tasks {
    fn interest(&self) -> Interest {
        Interest::READ | Interest::FINISHED | Interest::FAILED
    }

    fn observe(&self, event: &Event) {
        let index = event.scene.parent.unwrap_or(event.scene.task);
        let task = usize::try_from(index)
            .ok()
            .and_then(|index| self.0.get(index));
        let Some(task) = task else { return };
        match (event.role, &event.kind) {
            (Role::PoemClient, Kind::Read { bytes }) => {
                task.bytes.fetch_add(*bytes, Ordering::Relaxed);
            }
            (Role::PoemClient, Kind::Finished { .. }) => task.set(TaskState::Arrived),
            (Role::PoemClient, Kind::Failed(_)) => task.set(TaskState::Failed),
            (Role::TransformClient, Kind::Finished { .. }) => task.set(TaskState::Transformed),
            // The whole fetch was cancelled.
            (Role::TransformClient, Kind::Failed(FetchFailure::Cancelled)) => {
                task.set(TaskState::Failed);
            }
            (Role::TransformClient, Kind::Failed(_)) => task.set(TaskState::NotTransformed),
            _ => {}
        }
    }
}

struct Screen {
    poems: Vec<Poem>,
    bars: Vec<ProgressBar>,
    sum: ProgressBar,
    start: Instant,
}

impl Screen {
    fn new(poems: Vec<Poem>) -> Self {
        let screen = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {msg}");
        // indicatif's own style serves as well, should it not understand this one.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = || screen.add(ProgressBar::new_spinner().with_style(style.clone()));
        let bars = poems.iter().take(BARS_MAX).map(|_| bar()).collect();
        Self {
            poems,
            bars,
            sum: bar(),
            start: Instant::now(),
        }
    }

    fn draw(&self, tasks: &Tasks) {
        let columns = terminal::stderr_columns().saturating_sub(MARGIN);
        let lines = self.bars.iter().zip(&tasks.0).zip(&self.poems);
        for (index, ((bar, task), poem)) in lines.enumerate() {
            let (bytes, state) = (task.bytes.load(Ordering::Relaxed), task.state());
            bar.set_message(task_line(columns, index + 1, poem, bytes, state));
            if state == TaskState::Arriving {
                bar.tick();
            }
        }
        let states = || tasks.0.iter().map(Task::state);
        let arriving = states().filter(|&state| state == TaskState::Arriving);
        let failed = states().filter(|&state| state == TaskState::Failed);
        let sum = Sum {
            arriving: arriving.count(),
            failed: failed.count(),
            all: tasks.0.len(),
            elapsed: self.start.elapsed(),
        };
        self.sum.set_message(sum.line(columns));
    }

    fn keep(&self) {
        self.bars.iter().for_each(ProgressBar::abandon);
        self.sum.abandon();
    }
}

/// Writes one poem's line in at most `columns`: the most telling form that fits.
fn task_line(columns: usize, number: usize, poem: &Poem, bytes: u64, state: TaskState) -> String {
    let words = state.words();
    let short = match state {
        TaskState::Arriving => format!("Task {number}: {}", counted(bytes, "byte")),
        _ => format!("Task {number}: {words}"),
    };
    let bytes = format!("{:>14}", counted(bytes, "byte"));
    let named = |name: &String| format!("Task {number}: {name} {bytes}  {words}");
    let ended = poem.name.as_ref().filter(|_| !words.is_empty());
    let forms = [
        Some(named(&poem.label)),
        poem.name.as_ref().map(named),
        Some(format!("Task {number}: {bytes}  {words}")),
        ended.map(|name| format!("Task {number}: {name} {words}")),
        Some(short),
    ];
    let forms = forms.iter().flatten();
    widest(forms.map(|form| form.trim_end().to_owned()), columns)
}

/// The last line: all poems together.
struct Sum {
    arriving: usize,
    failed: usize,
    all: usize,
    elapsed: Duration,
}

impl Sum {
    /// Writes the line in at most `columns`, with a bar if there is room for one.
    fn line(&self, columns: usize) -> String {
        let arrived = self.all - self.arriving - self.failed;
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let poems = counted(self.all as u64, "poem");
        let text = format!("{arrived} of {poems}{failed}");
        let timed = format!("{text}, {}", clock(self.elapsed));
        let room = columns.saturating_sub(timed.chars().count() + "[] ".len());
        let forms = [
            self.bar(room.clamp(BAR_COLUMNS_MIN, BAR_COLUMNS)) + &timed,
            timed,
            text,
            format!("{arrived}/{}{failed}", self.all),
        ];
        widest(forms.into_iter(), columns)
    }

    fn bar(&self, columns: usize) -> String {
        let ended = self.all - self.arriving;
        let full = columns * ended / self.all.max(1);
        format!("[{}{}] ", "#".repeat(full), "-".repeat(columns - full))
    }
}

/// Returns the first of `forms` that fits `columns`; the last is cut if none does.
fn widest(forms: impl Iterator<Item = String>, columns: usize) -> String {
    let mut last = String::new();
    for form in forms {
        if measure_text_width(&form) <= columns {
            return form;
        }
        last = form;
    }
    last.chars().take(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_the_terminal_and_names_what_matters_most() {
        let poem = Poem {
            label: "a-rather-long-host-name.example:10001 灯籠".to_owned(),
            name: Some("灯籠".to_owned()),
        };
        for columns in [1, 10, 23, 40, 78, 200] {
            for state in TaskState::ALL {
                let line = task_line(columns, 1, &poem, 123_456, state);
                assert!(measure_text_width(&line) <= columns, "{columns}: {line}");
                assert!(
                    columns < 23 || line.contains(state.words()),
                    "{columns}: {line}"
                );
            }
            let sum = Sum {
                arriving: 1,
                failed: 1,
                all: 3,
                elapsed: Duration::from_secs(1),
            };
            let line = sum.line(columns);
            assert!(line.chars().count() <= columns, "{columns}: {line}");
            assert!(
                columns < 23 || line.contains("1 failed"),
                "{columns}: {line}"
            );
        }
    }

    #[test]
    fn the_bytes_of_poems_with_names_of_different_lengths_are_in_one_column() {
        let poem = |name: &str| Poem {
            label: format!("h:1 {name}"),
            name: Some(name.to_owned()),
        };
        let mut poems = [poem("moon"), poem("灯籠"), poem("a")];
        align(&mut poems);
        let labels = poems.each_ref().map(|poem| poem.label.as_str());
        assert_eq!(labels, ["h:1 moon", "h:1 灯籠", "h:1 a   "]);
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let poem = Poem {
            label: "localhost:7 star".to_owned(),
            name: Some("star".to_owned()),
        };
        let line = |columns| task_line(columns, 2, &poem, 1, TaskState::NotTransformed);
        let wide = "Task 2: localhost:7 star         1 byte  not transformed";
        assert_eq!(line(78), wide);
        assert_eq!(
            line(wide.len() - 1),
            "Task 2: star         1 byte  not transformed"
        );
        let sum = Sum {
            arriving: 0,
            failed: 0,
            all: 1,
            elapsed: Duration::from_millis(1_200),
        };
        let bar = "#".repeat(BAR_COLUMNS);
        assert_eq!(sum.line(78), format!("[{bar}] 1 of 1 poem, 0:00:01.2"));
        assert_eq!(sum.line(23), "1 of 1 poem, 0:00:01.2");
    }
}
