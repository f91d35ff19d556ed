//! What the runner calls while it measures: verification, keeping results, progress, and the interrupt.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hdrhistogram::Histogram;
use measure::Subject;
use measure::bundle::Bundle;
use measure::results::Results;
use measure::runner::{self, Progress};
use measure::subject::Role;

use crate::failure::Status;
use crate::line_writer::LineWriter;
use crate::status_line::StatusLine;
use crate::terminal;

/// The command's side of the runner.
pub(super) struct Caller {
    bundle: Bundle,
    /// The seed of the cases that verify subjects.
    seed: u64,
    interrupted: Arc<OnceLock<Status>>,
    status: StatusLine,
    stderr: LineWriter,
    /// The scenario last shown, without a terminal: a line for every row would be too many.
    shown: String,
    /// The reasons of void rows, each shown once.
    voids: BTreeSet<String>,
}

impl Caller {
    pub(super) fn new(
        bundle: Bundle,
        seed: u64,
        interrupted: Arc<OnceLock<Status>>,
        stderr: &LineWriter,
    ) -> Self {
        Self {
            bundle,
            seed,
            interrupted,
            status: StatusLine::new(stderr),
            stderr: stderr.clone(),
            shown: String::new(),
            voids: BTreeSet::new(),
        }
    }
}

impl runner::Caller for Caller {
    fn verify(&mut self, subject: &Subject, role: Role) -> Result<(), String> {
        super::verify::subject(subject, role, self.seed)
    }

    fn keep(
        &mut self,
        results: &Results,
        scenario: usize,
        histogram: Option<&Histogram<u64>>,
    ) -> io::Result<()> {
        let kept = self.bundle.keep(results, scenario, histogram);
        kept.map_err(io::Error::other)
    }

    fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Verifying(subject, role) => {
                let (name, role) = (&subject.name, role.name());
                self.step(format!("verifying {name} as a {role} server"), role);
            }
            Progress::Measuring {
                scenario,
                subject,
                point,
                of: (done, all),
                left,
            } => {
                let left = time(*left);
                let at = match point {
                    0.0 => String::new(),
                    point => format!(" at {point}"),
                };
                let line =
                    format!("{scenario}: {subject}{at}; {done} of {all} done, about {left} left");
                self.step(line, scenario);
            }
            Progress::Void { scenario, row } => {
                let why = row.void.as_deref().unwrap_or_default();
                let line = format!("void: {scenario}, {}: {why}", row.subject);
                // A subject that fails its verification is void in every round.
                if self.voids.insert(line.clone()) {
                    self.stderr.line(line);
                }
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.get().is_some()
    }
}

impl Caller {
    /// Shows a step. Without a terminal it is shown only if it is the first `about` something else than the last one.
    fn step(&mut self, line: String, about: &str) {
        if terminal::stderr_is_animated() || self.shown != about {
            self.status.show(line);
            about.clone_into(&mut self.shown);
        }
    }
}

/// Writes a time as `40 s` or `12 min`.
fn time(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 100 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}
