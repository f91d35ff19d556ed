//! The step under way: a spinner on a terminal, a line for each step elsewhere.

use std::fmt;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::line_writer::LineWriter;
use crate::terminal;

/// Shows the current step; disappears when dropped.
pub(crate) struct StatusLine {
    spinner: Option<ProgressBar>,
    stderr: LineWriter,
}

impl StatusLine {
    /// Creates a status line that shows nothing yet.
    pub(crate) fn new(stderr: &LineWriter) -> Self {
        let spinner = terminal::stderr_is_animated().then(|| {
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self {
            spinner,
            stderr: stderr.clone(),
        }
    }

    /// Shows that `step` is under way now.
    pub(crate) fn show(&self, step: impl fmt::Display) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(step.to_string()),
            None => self.stderr.line(step),
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
