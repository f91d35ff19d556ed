//! Twisted, in a Python process that runs `programs.py`.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::generator::Program;

/// What a program did on Twisted.
#[derive(Debug, Deserialize)]
pub(crate) struct Happened {
    pub(crate) trace: Vec<String>,
    /// The unhandled failures that were reported, sorted.
    reported: Vec<String>,
    pub(crate) deviations: Vec<String>,
    /// Failures that Twisted reports in addition (`one-owner`).
    excused: Vec<String>,
    /// Whether a list has not fired at the end, so that reports cannot be compared.
    unfinished: bool,
}

impl Happened {
    /// Returns whether `ours` are the reports without those that Twisted makes in addition.
    pub(crate) fn reported_as(&self, ours: &[String]) -> bool {
        let mut reported = self.reported.clone();
        for excused in &self.excused {
            if let Some(at) = reported.iter().position(|report| report == excused) {
                reported.remove(at);
            }
        }
        self.unfinished || reported == ours
    }
}

/// Returns whether `python` can import Twisted.
pub(crate) fn has_twisted(python: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", "import twisted.internet.defer"]);
    let status = import.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

pub(crate) struct Twisted {
    process: Child,
    programs: ChildStdin,
    happened: BufReader<ChildStdout>,
}

impl Twisted {
    pub(crate) fn start(python: &str) -> io::Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/twisted/programs.py");
        let mut process = Command::new(python)
            .args(["-u", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(programs), Some(happened)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are piped");
        };
        Ok(Self {
            process,
            programs,
            happened: BufReader::new(happened),
        })
    }

    pub(crate) fn run(&mut self, program: &Program) -> io::Result<Happened> {
        serde_json::to_writer(&mut self.programs, program)?;
        self.programs.write_all(b"\n")?;
        let mut line = String::new();
        self.happened.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|error| {
            io::Error::other(format!("programs.py wrote {line:?}: {error}; {program:?}"))
        })
    }
}

impl Drop for Twisted {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
