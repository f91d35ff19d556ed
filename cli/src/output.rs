//! Prints results on stdout: poems byte for byte, JSON, or text (S10, S11, S22).

use std::io::{self, BufWriter, ErrorKind, Write};

use poetry::{Outcome, PoemName};
use serde::Serialize;

use crate::closed_stdout;
use crate::failure::{Status, cause};
use crate::fetch::Task;
use crate::line_writer::LineWriter;

/// Prints the poems that arrived, in order. A newline is added only where a poem would otherwise begin in the middle
/// of a line.
pub(crate) fn poems(outcomes: &[Outcome]) -> io::Result<()> {
    closed_stdout::check()?;
    let poems = outcomes
        .iter()
        .filter_map(|outcome| outcome.poem.as_deref().ok());
    write_poems(poems, &mut io::stdout().lock())
}

/// Prints `text`.
pub(crate) fn text(text: &str) -> io::Result<()> {
    closed_stdout::check()?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Prints `last`, the last text, and returns the status to end with: `status`, unless printing fails.
pub(crate) fn last_text(last: &str, status: Status, stderr: &LineWriter) -> Status {
    match text(last) {
        Ok(()) => status,
        Err(error) => report_failure(&error, stderr),
    }
}

/// Formats `object` as a line of JSON.
pub(crate) fn json_line(object: &impl Serialize) -> String {
    let line = serde_json::to_string(object).expect("words and numbers are JSON");
    line + "\n"
}

fn write_poems<'a>(
    poems: impl Iterator<Item = &'a str>,
    stdout: &mut impl Write,
) -> io::Result<()> {
    let mut stdout = BufWriter::with_capacity(64 << 10, stdout);
    let mut in_line = false;
    for poem in poems.filter(|poem| !poem.is_empty()) {
        if in_line {
            stdout.write_all(b"\n")?;
        }
        stdout.write_all(poem.as_bytes())?;
        in_line = !poem.ends_with('\n');
    }
    stdout.flush()
}

/// Prints a JSON object for each poem, in order.
pub(crate) fn json(tasks: &[Task], outcomes: &[Outcome]) -> io::Result<()> {
    closed_stdout::check()?;
    let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    for (index, (task, outcome)) in tasks.iter().zip(outcomes).enumerate() {
        let line = Line::new(index + 1, task, outcome);
        serde_json::to_writer(&mut stdout, &line)?;
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// A poem as a JSON object.
#[derive(Serialize)]
struct Line<'a> {
    /// Counted from 1, as in the progress lines.
    task: usize,
    address: String,
    /// The poem's name in a library.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// `arrived`, or the name of the failure.
    status: &'static str,
    /// Bytes received from the poem server.
    bytes: u64,
    elapsed_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    poem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why the poem is not transformed although a transform was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    transform_error: Option<String>,
}

impl<'a> Line<'a> {
    fn new(number: usize, task: &'a Task, outcome: &'a Outcome) -> Self {
        let poem = outcome.poem.as_ref();
        let micros = outcome.elapsed.as_micros() as f64;
        Self {
            task: number,
            address: task.address.to_string(),
            name: task.name.as_ref().map(PoemName::as_str),
            status: poem.err().map_or("arrived", |error| error.failure.status()),
            bytes: outcome.bytes,
            elapsed_ms: micros / 1_000.0,
            poem: poem.ok().map(String::as_str),
            error: poem.err().map(|error| task.describe(error)),
            transform_error: outcome.transform_failure.as_ref().map(ToString::to_string),
        }
    }
}

/// Reports that printing failed. If the reader of a pipe has closed it, it has read enough: that is not reported (S22).
pub(crate) fn report_failure(error: &io::Error, stderr: &LineWriter) -> Status {
    if error.kind() != ErrorKind::BrokenPipe {
        let cause = cause(error);
        stderr.line(format_args!("quatrain: cannot write to stdout: {cause}"));
    }
    Status::Trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(poems: &[&str]) -> String {
        let mut stdout = Vec::new();
        write_poems(poems.iter().copied(), &mut stdout).unwrap();
        String::from_utf8(stdout).unwrap()
    }

    #[test]
    fn a_newline_is_added_only_between_two_poems_where_the_first_lacks_one() {
        assert_eq!(written(&["a\n", "b\n"]), "a\nb\n");
        assert_eq!(written(&["a", "b"]), "a\nb");
        assert_eq!(written(&["a", "", "b", ""]), "a\nb");
        assert_eq!(written(&["", "a"]), "a");
        assert_eq!(written(&[]), "");
    }
}
