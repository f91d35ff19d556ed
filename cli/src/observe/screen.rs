//! A view on a terminal, changed in place on the alternate screen, so that what was there stays.

use crate::line_writer::LineWriter;
use crate::terminal;

/// To the alternate screen, and back.
const ALTERNATE: &str = "\x1b[?1049h";
const MAIN: &str = "\x1b[?1049l";
/// To the first line.
const HOME: &str = "\x1b[H";
/// Clears what is below the cursor, and what is right of it.
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_RIGHT: &str = "\x1b[K";
/// Keeps the place of the cursor, and goes back to it.
const KEEP: &str = "\x1b7";
const BACK: &str = "\x1b8";

/// The terminal behind stderr, while a view is on it. The last line is for what a user types, if that is read.
pub(super) struct Screen<'w> {
    stderr: &'w LineWriter,
    has_input: bool,
}

impl<'w> Screen<'w> {
    pub(super) fn open(stderr: &'w LineWriter, has_input: bool) -> Self {
        stderr.push(ALTERNATE.as_bytes());
        let screen = Self { stderr, has_input };
        if has_input {
            screen.clear_input();
        }
        screen
    }

    /// Returns the lines and columns for a view with `below` lines below it. The last line of the terminal stays free.
    pub(super) fn room(&self, below: usize) -> (usize, usize) {
        let (lines, columns) = terminal::stderr_size();
        (lines.saturating_sub(1 + below), columns)
    }

    /// Clears the line for the input and places the cursor in it.
    pub(super) fn clear_input(&self) {
        let (lines, _) = terminal::stderr_size();
        let cleared = format!("\x1b[{lines};1H{CLEAR_RIGHT}");
        self.stderr.push(cleared.as_bytes());
    }

    /// Shows `text` in the first lines, and `below` in the last ones above the input.
    pub(super) fn show(&self, text: &[String], below: &[String]) {
        if !self.has_input {
            let text = text.join("\n");
            let shown = format!("{HOME}{CLEAR_BELOW}{text}\n");
            return self.stderr.push(shown.as_bytes());
        }
        // The line of the input is not touched: a user may be typing.
        let (lines, columns) = self.room(below.len());
        let empty = String::new();
        let filled = text.iter().chain(std::iter::repeat(&empty)).take(lines);
        let mut shown = format!("{KEEP}{HOME}");
        for line in filled.chain(below) {
            shown.extend(line.chars().take(columns));
            shown += CLEAR_RIGHT;
            shown.push('\n');
        }
        shown += BACK;
        self.stderr.push(shown.as_bytes());
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.stderr.push(MAIN.as_bytes());
    }
}
