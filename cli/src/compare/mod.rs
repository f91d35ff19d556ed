//! `quatrain compare`: the four models do the same work, every byte is verified, and one table shows what it took. This
//! file has the order of the steps; each step has a file of its own.

mod busy;
mod client_ledger;
mod poems;
mod rounds;
mod scratch;
mod table;
mod throughput;

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use measure::process::{Ending, Launch, Process};
use poetry::{Cancel, Counts, Model};

use crate::args::{CompareArgs, random_seed};
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::output;
use crate::signals;
use crate::status_line::StatusLine;
use crate::words::shown;

use self::busy::{Instantly, Others};
use self::poems::Fetched;
use self::rounds::Rounds;
use self::scratch::Scratch;

/// Why a model has no row.
type Flaw = String;

/// What the table shows.
struct Compared {
    /// Each model's fetch of the poems.
    fetched: Vec<(&'static str, Fetched)>,
    rounds: Rounds,
    seed: u64,
    others: Others,
}

/// Compares the models, one at a time so that none disturbs another.
pub(crate) fn run(args: &CompareArgs, stderr: &LineWriter) -> Ended {
    let setup = Setup::new(stderr)?;
    let start = Instantly::now();
    if let Some(warning) = start.warning() {
        stderr.line(format_args!("warning: {warning}"));
    }
    let status = StatusLine::new(stderr);
    let (mut fetched, mut right, mut flaws) = (Vec::new(), Vec::new(), Vec::new());
    for model in args.models() {
        let prepared = match setup.interrupted.get() {
            Some(_) => break,
            None => setup.prepare(model, &status),
        };
        match prepared {
            Ok(poems) => {
                fetched.push((model.name(), poems));
                right.push(model);
            }
            Err(flaw) => flaws.push((model.name(), flaw)),
        }
    }
    let seed = args.seed.unwrap_or_else(random_seed);
    let mut rounds = rounds::measure(&setup, &right, (args.rounds, seed), &status);
    drop(status);
    if let Some(&interrupted) = setup.interrupted.get() {
        let failure = Failure::with_status(interrupted, "interrupted; all servers were ended");
        return Ok(failure.report(stderr));
    }
    stderr.finish();
    flaws.append(&mut rounds.flaws);
    let compared = Compared {
        fetched,
        rounds,
        seed,
        others: start.since(),
    };
    if compared.rounds.subjects().next().is_some()
        && let Err(error) = output::text(&table::render(&compared))
    {
        return Ok(output::report_failure(&error, stderr));
    }
    for (model, flaw) in &flaws {
        Failure::trouble(format_args!("{model}: {flaw}")).report(stderr);
    }
    Ok(if flaws.is_empty() {
        Status::Success
    } else {
        Status::Trouble
    })
}

/// What the steps share: the program to start as servers, a folder, and whether a signal has interrupted them.
struct Setup {
    program: PathBuf,
    folder: Scratch,
    cancel: Cancel,
    /// The status to end with, once interrupted.
    interrupted: Arc<OnceLock<Status>>,
}

impl Setup {
    fn new(stderr: &LineWriter) -> Result<Self, Failure> {
        let cannot = |what: &dyn Display, error: io::Error| {
            Failure::new(format_args!("cannot compare: {what}: {}", cause(&error)))
        };
        let program = std::env::current_exe()
            .map_err(|error| cannot(&"the path of this command is unknown", error))?;
        let folder = Scratch::new().map_err(|error| {
            let base = std::env::temp_dir();
            let what = format!(
                "no folder can be created in {}; set TMPDIR to another",
                base.display()
            );
            cannot(&what, error)
        })?;
        let cancel = Cancel::new();
        let interrupted = Arc::new(OnceLock::new());
        let (cancel_all, noted) = (cancel.clone(), Arc::clone(&interrupted));
        signals::on_interrupt(stderr, move |status| {
            let _ = noted.set(status);
            cancel_all.all();
        })?;
        Ok(Self {
            program,
            folder,
            cancel,
            interrupted,
        })
    }

    /// Has `model` fetch the poems, and verifies its transform server.
    fn prepare(&self, model: &'static dyn Model, status: &StatusLine) -> Result<Fetched, Flaw> {
        status.show(format_args!(
            "{}: fetching {} poems at once",
            model.name(),
            poems::POEMS.len()
        ));
        let fetched = poems::fetch(self, model)?;
        throughput::verify(self, model)?;
        Ok(fetched)
    }

    /// Starts this command as a server of `model`, which ends when this process ends.
    fn serve<A: Into<OsString>>(
        &self,
        model: &dyn Model,
        what: impl IntoIterator<Item = A>,
        core: Option<usize>,
    ) -> Result<Process, Flaw> {
        if self.interrupted.get().is_some() {
            return Err("interrupted".to_owned());
        }
        let stats = self.folder.new_file("stats");
        let mut args: Vec<OsString> = vec!["serve".into()];
        args.extend(what.into_iter().map(Into::into));
        let parent = std::process::id().to_string();
        let bound = ["--end-with-parent", &parent];
        for option in ["--model", model.name(), "--log", "error"]
            .iter()
            .chain(&bound)
        {
            args.push(option.into());
        }
        args.push("--stats".into());
        args.push(stats.clone().into());
        let launch = Launch {
            core,
            stats: Some(stats),
            ..Launch::new(&self.program, args)
        };
        Process::start(&launch).map_err(|error| error.to_string())
    }

    /// Creates a file that holds `text`.
    fn file(&self, name: &str, text: &str) -> Result<PathBuf, Flaw> {
        let path = self.folder.new_file(name);
        let written = std::fs::write(&path, text);
        written.map_err(|error| format!("cannot write {}: {}", shown(&path), cause(&error)))?;
        Ok(path)
    }
}

/// Stops a server that has nothing left to do, and returns its counts.
fn stop(server: Process, what: &str) -> Result<Counts, Flaw> {
    let Ending { status, counts } = server.stop().map_err(|error| error.to_string())?;
    match counts {
        Some(counts) if status.success() => Ok(counts),
        Some(_) => Err(format!("{what} ended with {status}")),
        None => Err(format!("{what} left no counts")),
    }
}
