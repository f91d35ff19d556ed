//! What the terminal behind stdout or stderr can show: its size, colours, a cursor that moves.

use std::env;
use std::io::{self, IsTerminal};

use console::Term;

/// The size assumed for a terminal that does not tell its own.
const LINES: u16 = 24;
const COLUMNS: u16 = 80;

/// Returns whether stderr can show bars: a terminal whose cursor moves.
pub(crate) fn stderr_is_animated() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Returns whether stderr may be coloured: a terminal that has colours, and a user who has not set `NO_COLOR`.
pub(crate) fn stderr_is_coloured() -> bool {
    let declined = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stderr_is_animated() && !declined
}

/// Returns the columns of the terminal behind stderr.
pub(crate) fn stderr_columns() -> usize {
    size(&Term::stderr()).1
}

/// Returns the lines and columns of the terminal behind stderr.
pub(crate) fn stderr_size() -> (usize, usize) {
    size(&Term::stderr())
}

/// Returns the columns of the terminal behind stdout, or `None` if stdout is something else: then lines may be long.
pub(crate) fn stdout_columns() -> Option<usize> {
    io::stdout().is_terminal().then(|| size(&Term::stdout()).1)
}

fn size(terminal: &Term) -> (usize, usize) {
    let (lines, columns) = terminal.size_checked().unwrap_or_default();
    let known = |told: u16, assumed: u16| if told == 0 { assumed } else { told }.into();
    (known(lines, LINES), known(columns, COLUMNS))
}

/// Returns whether the terminal can only append text.
fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb")
}
