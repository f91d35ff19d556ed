//! The state of a load while it goes on, in one line on a terminal; and its end by Ctrl-C.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use measure::analysis::words::{thousands, value};
use measure::load::{Extent, Snapshot, Watch};

use crate::failure::{Failure, Status};
use crate::line_writer::LineWriter;
use crate::status_line::StatusLine;
use crate::{signals, terminal};

use super::Load;

/// How often the line changes, and how soon Ctrl-C takes effect.
const EVERY: Duration = Duration::from_millis(200);

/// Watches a load.
pub(super) struct Live {
    line: Option<StatusLine>,
    extent: Extent,
    is_open_loop: bool,
    interrupted: Arc<OnceLock<Status>>,
}

impl Live {
    /// Starts to watch `load`. From now on Ctrl-C ends it early.
    pub(super) fn start(load: &Load<'_>, stderr: &LineWriter) -> Result<Self, Failure> {
        let interrupted = signals::note_interrupt(stderr)?;
        Ok(Self {
            line: terminal::stderr_is_animated().then(|| StatusLine::new(stderr)),
            extent: load.plan.extent,
            is_open_loop: load.options.rate.is_some(),
            interrupted,
        })
    }

    /// Calls `run` with a watch that shows the load and stops it when it is interrupted.
    pub(super) fn watch<T>(&self, run: impl FnOnce(Watch<'_>) -> T) -> T {
        let mut look = |snapshot: &Snapshot<'_>| {
            if let Some(line) = &self.line {
                line.show(self.describe(snapshot));
            }
            match self.interrupted.get() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        };
        run(Watch {
            every: EVERY,
            look: &mut look,
        })
    }

    /// Ends the display. Returns the status to end with, if the load was interrupted.
    pub(super) fn end(self) -> Option<Status> {
        self.interrupted.get().copied()
    }

    fn describe(&self, snapshot: &Snapshot<'_>) -> String {
        let mut text = match (snapshot.timed, self.extent) {
            (None, _) => format!("warming up, {:.1} s", snapshot.elapsed.as_secs_f64()),
            (Some(now), Extent::For { timed, .. }) => {
                format!("{:.1} of {:.1} s", now.as_secs_f64(), timed.as_secs_f64())
            }
            (Some(now), Extent::Requests(requests)) => format!(
                "{} of {} in {:.1} s",
                thousands(snapshot.answered as f64),
                thousands(requests as f64),
                now.as_secs_f64()
            ),
        };
        if !snapshot.latency.is_empty() {
            let per_second = snapshot.answered as f64 / snapshot.elapsed.as_secs_f64();
            let at = |quantile| value(snapshot.latency.value_at_quantile(quantile) as f64, "ns");
            text += &format!(
                "  {} replies/s  p50 {}  p99 {}",
                thousands(per_second),
                at(0.5),
                at(0.99)
            );
        }
        text += &format!("  {} open", thousands(snapshot.open as f64));
        if self.is_open_loop {
            text += &format!("  {} waiting", thousands(snapshot.waiting as f64));
        }
        text
    }
}
