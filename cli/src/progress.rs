//! How a fetch goes, for people (S10): the tutorial's lines in the order of arrival, or bars; then what failed, and the
//! sum of it. All of it is lost rather than waited for (S22).

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poetry::event::{Interest, Unobserved};
use poetry::{Event, FetchFailure, FetchRequest, Kind, Observer, Outcome, Peer, Role};

use crate::args;
use crate::bars::Bars;
use crate::lossy::Lossy;

/// What shows a fetch's progress.
pub(crate) struct Progress {
    shown: Shown,
    stderr: Lossy,
}

enum Shown {
    Lines(Arc<Lines>),
    Bars(Bars),
    Failures,
}

impl Progress {
    /// Begins to show the progress of `requests`, as far as it is asked for, on stderr. With `strict`, no original is kept
    /// (S13).
    pub(crate) fn begin(
        how: args::Progress,
        requests: &[FetchRequest],
        strict: bool,
        stderr: &Lossy,
    ) -> Self {
        let names = || {
            requests
                .iter()
                .map(|request| request.peer.name().to_owned())
        };
        let terminal = io::stderr().is_terminal();
        let shown = match how {
            args::Progress::Bar => Shown::Bars(Bars::begin(names().collect())),
            args::Progress::Auto if terminal => Shown::Bars(Bars::begin(names().collect())),
            args::Progress::Auto | args::Progress::Lines => {
                Shown::Lines(Arc::new(Lines::new(requests, strict, stderr)))
            }
            args::Progress::None => Shown::Failures,
        };
        let stderr = stderr.clone();
        Self { shown, stderr }
    }

    /// Who hears what happens in the fetch.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        match &self.shown {
            Shown::Lines(lines) => lines.clone(),
            Shown::Bars(bars) => bars.observer(),
            Shown::Failures => Arc::new(Unobserved),
        }
    }

    /// Nothing more will happen: says every failure that has not been said.
    pub(crate) fn end(&self, outcomes: &[Outcome]) {
        if let Shown::Bars(bars) = &self.shown {
            bars.end();
        }
        for (index, outcome) in outcomes.iter().enumerate() {
            let said = match &self.shown {
                Shown::Lines(lines) => &lines.tasks[index].said,
                Shown::Bars(_) | Shown::Failures => &Said::default(),
            };
            if let Err(error) = &outcome.poem
                && !said.failed.load(Ordering::Acquire)
            {
                self.stderr
                    .line(format_args!("Task {} failed: {error}", index + 1));
            }
            if let Some(error) = &outcome.transform_failure
                && !said.original.load(Ordering::Acquire)
            {
                self.stderr.line(original_kept(index, error));
            }
        }
    }

    /// The last line: how many poems came in what time.
    pub(crate) fn sum_up(&self, outcomes: &[Outcome], elapsed: Duration) {
        if !matches!(self.shown, Shown::Failures) {
            self.stderr.line(sum(outcomes, elapsed));
        }
    }
}

fn original_kept(task: usize, why: impl std::fmt::Display) -> String {
    format!(
        "Task {}: not transformed, the original is kept: {why}",
        task + 1
    )
}

fn sum(outcomes: &[Outcome], elapsed: Duration) -> String {
    let all = outcomes.len();
    let arrived = outcomes
        .iter()
        .filter(|outcome| outcome.poem.is_ok())
        .count();
    let original = outcomes
        .iter()
        .filter(|outcome| outcome.transform_failure.is_some())
        .count();
    let plural = if all == 1 { "" } else { "s" };
    let of = if arrived == all {
        String::new()
    } else {
        format!("{arrived} of ")
    };
    let mut line = format!("Got {of}{all} poem{plural} in {}", clock(elapsed));
    if arrived < all {
        line += &format!(", {} failed", all - arrived);
    }
    if original > 0 {
        line += &format!(", {original} not transformed");
    }
    line
}

/// Hours, minutes, seconds and a tenth, as the tutorial shows them: `0:00:01.2`.
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

/// Writes a line for whatever happens.
struct Lines {
    tasks: Vec<Task>,
    strict: bool,
    stderr: Lossy,
}

struct Task {
    peer: Peer,
    via: Option<Peer>,
    said: Said,
}

/// What need not be said again in the end.
#[derive(Default)]
struct Said {
    failed: AtomicBool,
    original: AtomicBool,
}

impl Lines {
    fn new(requests: &[FetchRequest], strict: bool, stderr: &Lossy) -> Self {
        let task = |request: &FetchRequest| Task {
            peer: request.peer.clone(),
            via: request.via.as_ref().map(|via| via.peer.clone()),
            said: Said::default(),
        };
        Self {
            tasks: requests.iter().map(task).collect(),
            strict,
            stderr: stderr.clone(),
        }
    }

    fn say(&self, event: &Event, index: usize, task: &Task) {
        let number = index + 1;
        let Task { peer, via, said } = task;
        let via = via.as_ref().map_or("", Peer::name);
        let stderr = &self.stderr;
        match (event.role, &event.kind) {
            (Role::PoemClient, Kind::Read { bytes }) => stderr.line(format_args!(
                "Task {number}: got {bytes} bytes of poetry from {peer}"
            )),
            (Role::PoemClient, Kind::Finished { .. }) => {
                stderr.line(format_args!("Task {number} finished"));
            }
            (Role::PoemClient, Kind::Failed(failure)) => {
                said.failed.store(true, Ordering::Release);
                stderr.line(format_args!("Task {number} failed: {peer}: {failure}"));
            }
            (Role::TransformClient, Kind::Finished { .. }) => {
                stderr.line(format_args!("Task {number}: transformed by {via}"));
            }
            // Its fetch is called off with it: there is no original to keep, and the end says so.
            (Role::TransformClient, Kind::Failed(FetchFailure::Cancelled)) => {}
            // Nor is there here: the end says that the fetch has failed.
            (Role::TransformClient, Kind::Failed(_)) if self.strict => {}
            (Role::TransformClient, Kind::Failed(failure)) => {
                said.original.store(true, Ordering::Release);
                stderr.line(original_kept(index, format_args!("{via}: {failure}")));
            }
            _ => {}
        }
    }
}

impl Observer for Lines {
    fn interest(&self) -> Interest {
        Interest::READ | Interest::FINISHED | Interest::FAILED
    }

    fn observe(&self, event: &Event) {
        let index = event.scene.parent.unwrap_or(event.scene.task);
        let Ok(index) = usize::try_from(index) else {
            return;
        };
        if let Some(task) = self.tasks.get(index) {
            self.say(event, index, task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poetry::FetchError;

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
    fn s11_the_last_line_counts_what_failed() {
        let fine = || outcome(Ok("a"), None);
        let elapsed = Duration::from_millis(1_160);
        assert_eq!(
            sum(&[fine(), fine(), fine()], elapsed),
            "Got 3 poems in 0:00:01.2"
        );
        assert_eq!(sum(&[fine()], Duration::ZERO), "Got 1 poem in 0:00:00.0");
        let lost = outcome(Err(FetchFailure::Cancelled), None);
        let kept = outcome(Ok("A"), Some(FetchFailure::Refused));
        assert_eq!(
            sum(&[fine(), lost, kept], Duration::from_secs(36_061)),
            "Got 2 of 3 poems in 10:01:01.0, 1 failed, 1 not transformed"
        );
    }
}
