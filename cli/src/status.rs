//! What is being done just now: a spinner on a terminal, a line for each step elsewhere.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::lossy::Lossy;

/// Shows the step under way; gone when dropped.
pub(crate) struct StatusLine {
    spinner: Option<ProgressBar>,
    stderr: Lossy,
}

impl StatusLine {
    /// Shows nothing yet.
    pub(crate) fn new(stderr: &Lossy) -> Self {
        let spinner = io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self {
            spinner,
            stderr: stderr.clone(),
        }
    }

    /// `step` is under way now.
    pub(crate) fn say(&self, step: impl fmt::Display) {
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
