//! What the terminal behind stdout or stderr can show: its width, colours, a cursor that moves.

use std::env;
use std::io::{self, IsTerminal};

use console::Term;

/// The width assumed for a terminal that does not tell its own.
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
    columns(&Term::stderr())
}

/// Returns the columns of the terminal behind stdout, or `None` if stdout is something else: then lines may be long.
pub(crate) fn stdout_columns() -> Option<usize> {
    io::stdout().is_terminal().then(|| columns(&Term::stdout()))
}

fn columns(terminal: &Term) -> usize {
    let (_, columns) = terminal.size_checked().unwrap_or((0, COLUMNS));
    match columns {
        0 => COLUMNS.into(),
        columns => columns.into(),
    }
}

/// Returns whether the terminal can only append text.
fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb")
}
