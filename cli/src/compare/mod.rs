//! `quatrain compare`: the four models do the same work, every byte is verified, and one table shows what it took. This
//! file has the order of the steps; each step has a file of its own.

mod client_ledger;
mod poems;
mod scratch;
mod table;
mod throughput;

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use measure::process::{Ending, Launch, Process};
use poetry::{Cancel, Counts, Model};

use crate::args::CompareArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::output;
use crate::signals;
use crate::status_line::StatusLine;

use self::poems::Fetched;
use self::scratch::Scratch;
use self::throughput::Loaded;

/// Why a model has no row.
type Flaw = String;

/// One row of the table.
struct Row {
    model: &'static str,
    fetched: Fetched,
    loaded: Loaded,
}

/// Compares the models one after another, so that none disturbs the next.
pub(crate) fn run(args: &CompareArgs, stderr: &LineWriter) -> Ended {
    let setup = Setup::new(stderr)?;
    let status = StatusLine::new(stderr);
    let (mut rows, mut flaws) = (Vec::new(), Vec::new());
    for model in args.models() {
        let row = setup.row(model, &status);
        if let Some(&interrupted) = setup.interrupted.get() {
            drop(status);
            let failure = Failure::with_status(interrupted, "interrupted; all servers were ended");
            return Ok(failure.report(stderr));
        }
        match row {
            Ok(row) => rows.push(row),
            Err(flaw) => flaws.push(format!("{}: {flaw}", model.name())),
        }
    }
    drop(status);
    stderr.finish();
    if !rows.is_empty()
        && let Err(error) = output::text(&table::render(&rows))
    {
        return Ok(output::report_failure(&error, stderr));
    }
    for flaw in &flaws {
        Failure::trouble(flaw).report(stderr);
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

    fn row(&self, model: &'static dyn Model, status: &StatusLine) -> Result<Row, Flaw> {
        status.show(format_args!(
            "{}: fetching {} poems at once",
            model.name(),
            poems::POEMS.len()
        ));
        let fetched = poems::fetch(self, model)?;
        status.show(format_args!(
            "{}: loading the transform server",
            model.name()
        ));
        let loaded = throughput::load(self, model)?;
        Ok(Row {
            model: model.name(),
            fetched,
            loaded,
        })
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

fn shown(path: &Path) -> impl Display {
    path.display()
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
