//! Shows a fetch on stderr (S10): bars, or the tutorial's lines in the order of arrival; then the failures, what to try,
//! and a summary. Whatever stderr does not take in time is dropped, so that progress never delays a fetch (S22).

mod bars;
mod lines;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::{Observer, Outcome};

use crate::args::{self, FetchArgs};
use crate::failure::without_number;
use crate::fetch::Task;
use crate::hints;
use crate::line_writer::LineWriter;
use crate::terminal;
use crate::words::counted;

use self::bars::{Bars, Poem};
use self::lines::{Lines, Reported};

/// Shows the progress of a fetch.
pub(crate) struct Progress {
    display: Display,
    stderr: LineWriter,
}

enum Display {
    Lines(Arc<Lines>),
    Bars(Bars),
    /// Failures only.
    Failures,
    /// Nothing: the JSON on stdout has it all.
    Nothing,
}

impl Progress {
    /// Starts to show the progress of `tasks`, as `args` say and stderr permits.
    pub(crate) fn start(args: &FetchArgs, tasks: &[Task], stderr: &LineWriter) -> Self {
        let lines = |fold| {
            let lines = Lines::new(tasks, fold, args.strict_transform, stderr);
            Display::Lines(Arc::new(lines))
        };
        let bars = || {
            let poem = |task: &Task| Poem {
                label: task.label(),
                name: task.name.as_ref().map(ToString::to_string),
            };
            Display::Bars(Bars::start(tasks.iter().map(poem).collect()))
        };
        let display = match args.progress {
            args::Progress::Bar => bars(),
            args::Progress::Auto if terminal::stderr_is_animated() => bars(),
            args::Progress::Auto if args.json && !io::stderr().is_terminal() => Display::Nothing,
            args::Progress::Auto => lines(Some(lines::FOLD)),
            args::Progress::Lines => lines(None),
            args::Progress::None => Display::Failures,
        };
        let stderr = stderr.clone();
        Self { display, stderr }
    }

    /// Returns the observer of the fetch.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        match &self.display {
            Display::Lines(lines) => lines.clone(),
            Display::Bars(bars) => bars.observer(),
            Display::Failures | Display::Nothing => Arc::new(Unobserved),
        }
    }

    /// Ends the display, and reports every failure that has not been reported, and what to try.
    pub(crate) fn end(&self, tasks: &[Task], outcomes: &[Outcome]) {
        match &self.display {
            Display::Nothing => return,
            Display::Bars(bars) => bars.end(outcomes),
            Display::Lines(_) | Display::Failures => {}
        }
        for (index, (task, outcome)) in tasks.iter().zip(outcomes).enumerate() {
            let reported = match &self.display {
                Display::Lines(lines) => lines.reported(index),
                _ => &Reported::default(),
            };
            let number = index + 1;
            if let Err(error) = &outcome.poem
                && !reported.failed.load(Ordering::Acquire)
            {
                let error = without_number(&task.describe(error));
                self.stderr
                    .line(format_args!("Task {number} failed: {error}"));
            }
            if let Some(error) = &outcome.transform_failure
                && !reported.original_kept.load(Ordering::Acquire)
            {
                self.stderr.line(original_kept(number, error));
            }
        }
        if let Some(hint) = hints::after_fetch(tasks, outcomes) {
            self.stderr.line(hint);
        }
    }

    /// Writes the last line: how many poems arrived, in what time.
    pub(crate) fn summarize(&self, outcomes: &[Outcome], elapsed: Duration) {
        if let Display::Lines(_) | Display::Bars(_) = self.display {
            self.stderr.line(summary(outcomes, elapsed));
        }
    }
}

fn original_kept(task: usize, why: impl std::fmt::Display) -> String {
    let why = without_number(&why.to_string());
    format!("Task {task}: not transformed, the original is kept: {why}")
}

fn summary(outcomes: &[Outcome], elapsed: Duration) -> String {
    let all = outcomes.len() as u64;
    let count = |matches: fn(&&Outcome) -> bool| outcomes.iter().filter(matches).count() as u64;
    let arrived = count(|outcome| outcome.poem.is_ok());
    let original = count(|outcome| outcome.transform_failure.is_some());
    let of = match arrived == all {
        true => String::new(),
        false => format!("{arrived} of "),
    };
    let mut line = format!("Got {of}{} in {}", counted(all, "poem"), clock(elapsed));
    if arrived < all {
        line += &format!(", {} failed", all - arrived);
    }
    if original > 0 {
        line += &format!(", {original} not transformed");
    }
    line
}

/// Formats hours, minutes, seconds and a tenth as the tutorial does: `0:00:01.2`.
fn clock(elapsed: Duration) -> String {
    let tenths = (elapsed.as_millis() + 50) / 100;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    format!(
        "{}:{:02}:{:02}.{tenth}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use poetry::{FetchError, FetchFailure};

    fn outcome(poem: Result<&str, FetchFailure>, transform: Option<FetchFailure>) -> Outcome {
        let error = |failure| FetchError::new("here:1", failure);
        Outcome {
            poem: poem.map(str::to_owned).map_err(error),
            transform_failure: transform.map(error),
            bytes: 0,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn s11_the_last_line_counts_the_failures() {
        let fine = || outcome(Ok("a"), None);
        let elapsed = Duration::from_millis(1_160);
        assert_eq!(
            summary(&[fine(), fine(), fine()], elapsed),
            "Got 3 poems in 0:00:01.2"
        );
        assert_eq!(
            summary(&[fine()], Duration::ZERO),
            "Got 1 poem in 0:00:00.0"
        );
        let lost = outcome(Err(FetchFailure::Cancelled), None);
        let kept = outcome(Ok("A"), Some(FetchFailure::Refused));
        assert_eq!(
            summary(&[fine(), lost, kept], Duration::from_secs(36_061)),
            "Got 2 of 3 poems in 10:01:01.0, 1 failed, 1 not transformed"
        );
    }
}
