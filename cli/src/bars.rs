//! Progress as bars on a terminal. What happens only moves counters; one thread draws them a few times a second, so a
//! terminal that does not keep up stalls nobody (S22).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use poetry::event::Interest;
use poetry::{Event, FetchFailure, Kind, Observer, Role};

/// Poems that have a bar of their own; a screen holds no more. The rest are counted in the last bar.
const BARS_MAX: usize = 16;
const REDRAW: Duration = Duration::from_millis(80);

/// The bars of a fetch.
pub(crate) struct Bars {
    tasks: Arc<Tasks>,
    drawing: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Bars {
    /// Begins to draw one bar for each of `names`.
    pub(crate) fn begin(names: Vec<String>) -> Self {
        let tasks = Arc::new(Tasks(names.iter().map(|_| Task::default()).collect()));
        let (end, ended) = mpsc::channel();
        let drawn = Arc::clone(&tasks);
        let draw = move || {
            let screen = Screen::new(&names);
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(REDRAW) {
                screen.draw(&drawn);
            }
            screen.draw(&drawn);
            screen.leave();
        };
        let thread = thread::Builder::new().name("bars".to_owned()).spawn(draw);
        Self {
            tasks,
            drawing: Mutex::new(thread.ok().map(|thread| (end, thread))),
        }
    }

    /// Who hears what the bars show.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        self.tasks.clone()
    }

    /// Draws the last state and leaves it on the screen.
    pub(crate) fn end(&self) {
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

struct Tasks(Vec<Task>);

/// How far a poem is; `state` is one of the constants below.
#[derive(Default)]
struct Task {
    bytes: AtomicU64,
    state: AtomicU8,
}

const COMING: u8 = 0;
const FAILED: u8 = 1;
const ARRIVED: u8 = 2;
const TRANSFORMED: u8 = 3;
const NOT_TRANSFORMED: u8 = 4;

impl Task {
    fn ended(&self) -> bool {
        self.state.load(Ordering::Relaxed) != COMING
    }

    fn words(&self) -> String {
        let state = match self.state.load(Ordering::Relaxed) {
            COMING => "",
            FAILED => "failed",
            ARRIVED => "arrived",
            TRANSFORMED => "arrived, transformed",
            _ => "arrived, not transformed",
        };
        let bytes = self.bytes.load(Ordering::Relaxed);
        format!("{bytes:>8} bytes  {state}")
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
        let state = match (event.role, &event.kind) {
            (Role::PoemClient, Kind::Read { bytes }) => {
                task.bytes.fetch_add(*bytes, Ordering::Relaxed);
                return;
            }
            (Role::PoemClient, Kind::Finished { .. }) => ARRIVED,
            (Role::PoemClient, Kind::Failed(_)) => FAILED,
            (Role::TransformClient, Kind::Finished { .. }) => TRANSFORMED,
            // Its fetch is called off with it.
            (Role::TransformClient, Kind::Failed(FetchFailure::Cancelled)) => FAILED,
            (Role::TransformClient, Kind::Failed(_)) => NOT_TRANSFORMED,
            _ => return,
        };
        task.state.store(state, Ordering::Relaxed);
    }
}

struct Screen {
    bars: Vec<ProgressBar>,
    sum: ProgressBar,
}

impl Screen {
    fn new(names: &[String]) -> Self {
        let screen = MultiProgress::new();
        let spinner = style("{spinner} {prefix} {msg}");
        let bar = |(index, name): (usize, &String)| {
            let bar = screen.add(ProgressBar::new_spinner().with_style(spinner.clone()));
            bar.with_prefix(format!("Task {}: {name}", index + 1))
        };
        let bars = names.iter().take(BARS_MAX).enumerate().map(bar).collect();
        let sum = screen.add(ProgressBar::new(names.len() as u64));
        sum.set_style(style("  [{bar:30}] {pos} of {len} poems, {elapsed}"));
        Self { bars, sum }
    }

    fn draw(&self, tasks: &Tasks) {
        for (bar, task) in self.bars.iter().zip(&tasks.0) {
            bar.set_message(task.words());
            if !task.ended() {
                bar.tick();
            }
        }
        let ended = tasks.0.iter().filter(|task| task.ended()).count();
        self.sum.set_position(ended as u64);
    }

    fn leave(&self) {
        self.bars.iter().for_each(ProgressBar::abandon);
        self.sum.abandon();
    }
}

/// A template of ours; should indicatif not understand it, its own style is as good.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
