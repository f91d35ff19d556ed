//! Progress as lines, in the tutorial's words: one for every read, or folded into a few for a log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poetry::event::Interest;
use poetry::{Event, FetchFailure, Kind, Observer, Role};

use super::original_kept;
use crate::failure::without_number;
use crate::fetch::Task;
use crate::line_writer::LineWriter;
use crate::words::counted;

/// How long the bytes of a task are summed into one line where no terminal shows progress: long enough to keep a log
/// short, short enough to show that a slow poem is still coming.
pub(super) const FOLD: Duration = Duration::from_secs(5);

/// Writes a line for each event.
pub(super) struct Lines {
    tasks: Vec<Shown>,
    /// How long bytes are summed; without it each read has a line (S10).
    fold: Option<Duration>,
    strict: bool,
    stderr: LineWriter,
}

struct Shown {
    number: usize,
    task: Task,
    unreported: Mutex<Unreported>,
    reported: Reported,
}

/// Bytes that have arrived since the last line.
#[derive(Default)]
struct Unreported {
    bytes: u64,
    /// When the first of them arrived, or the last line was written.
    since: Option<Duration>,
}

/// What need not be reported again at the end.
#[derive(Default)]
pub(super) struct Reported {
    pub(super) failed: AtomicBool,
    pub(super) original_kept: AtomicBool,
}

impl Lines {
    /// Creates the display of `tasks`. With `strict`, no original is kept (S13).
    pub(super) fn new(
        tasks: &[Task],
        fold: Option<Duration>,
        strict: bool,
        stderr: &LineWriter,
    ) -> Self {
        let shown = |(index, task): (usize, &Task)| Shown {
            number: index + 1,
            task: task.clone(),
            unreported: Mutex::default(),
            reported: Reported::default(),
        };
        Self {
            tasks: tasks.iter().enumerate().map(shown).collect(),
            fold,
            strict,
            stderr: stderr.clone(),
        }
    }

    /// Returns what has been reported of the task at `index`.
    pub(super) fn reported(&self, index: usize) -> &Reported {
        &self.tasks[index].reported
    }

    fn report(&self, event: &Event, shown: &Shown) {
        let Shown { number, task, .. } = shown;
        let stderr = &self.stderr;
        match (event.role, &event.kind) {
            (Role::PoemClient, Kind::Read { bytes }) => {
                self.report_bytes(shown.arrived(*bytes, event.at, self.fold), shown);
            }
            (Role::PoemClient, Kind::Finished { .. }) => {
                self.report_bytes(shown.take(), shown);
                stderr.line(format_args!("Task {number} finished"));
            }
            (Role::PoemClient, Kind::Failed(failure)) => {
                self.report_bytes(shown.take(), shown);
                shown.reported.failed.store(true, Ordering::Release);
                let failed = without_number(&task.describe_failure(failure));
                stderr.line(format_args!("Task {number} failed: {failed}"));
            }
            (Role::TransformClient, Kind::Finished { .. }) => {
                let via = task.via();
                stderr.line(format_args!("Task {number}: transformed by {via}"));
            }
            // The whole fetch was cancelled, so no original is kept; the end reports the failure.
            (Role::TransformClient, Kind::Failed(FetchFailure::Cancelled)) => {}
            // No original is kept here either.
            (Role::TransformClient, Kind::Failed(_)) if self.strict => {}
            (Role::TransformClient, Kind::Failed(failure)) => {
                shown.reported.original_kept.store(true, Ordering::Release);
                let via = task.via();
                stderr.line(original_kept(*number, format_args!("{via}: {failure}")));
            }
            _ => {}
        }
    }

    fn report_bytes(&self, bytes: u64, shown: &Shown) {
        if bytes > 0 {
            let (number, task, bytes) = (shown.number, &shown.task, counted(bytes, "byte"));
            let (what, address) = (task.what(), &task.address);
            self.stderr.line(format_args!(
                "Task {number}: got {bytes} of {what} from {address}"
            ));
        }
    }
}

impl Shown {
    /// Adds `bytes` that arrived at `at`, and returns the bytes to report now.
    fn arrived(&self, bytes: u64, at: Duration, fold: Option<Duration>) -> u64 {
        let Some(fold) = fold else { return bytes };
        let mut unreported = self
            .unreported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unreported.bytes += bytes;
        let since = *unreported.since.get_or_insert(at);
        if at < since + fold {
            return 0;
        }
        unreported.since = Some(at);
        std::mem::take(&mut unreported.bytes)
    }

    /// Returns the bytes that have not been reported.
    fn take(&self) -> u64 {
        let mut unreported = self
            .unreported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut unreported.bytes)
    }
}

impl Observer for Lines {
    fn interest(&self) -> Interest {
        Interest::READ | Interest::FINISHED | Interest::FAILED
    }

    fn observe(&self, event: &Event) {
        let index = event.scene.parent.unwrap_or(event.scene.task);
        let task = usize::try_from(index)
            .ok()
            .and_then(|index| self.tasks.get(index));
        if let Some(task) = task {
            self.report(event, task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn s10_folded_bytes_are_reported_every_few_seconds_and_at_the_end() {
        let task = Task {
            address: Arc::new("10001".parse().unwrap()),
            name: None,
            via: None,
        };
        let lines = Lines::new(&[task], Some(FOLD), false, &LineWriter::stderr());
        let task = &lines.tasks[0];
        let arrived =
            |bytes, seconds| task.arrived(bytes, Duration::from_secs(seconds), lines.fold);
        let reported = [
            (10, 100),
            (10, 104),
            (10, 105),
            (10, 109),
            (10, 110),
            (10, 111),
        ]
        .map(|(bytes, seconds)| arrived(bytes, seconds));
        assert_eq!(reported, [0, 0, 30, 0, 20, 0]);
        assert_eq!((task.take(), task.take()), (10, 0));
    }
}
