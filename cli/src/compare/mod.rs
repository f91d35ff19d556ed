//! `quatrain compare`: the four models do the same work, every byte of which is verified, and one table says what it
//! took. This file is the order of things; each step is a file of its own.

mod poems;
mod scratch;
mod seen;
mod table;
mod throughput;

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use measure::process::{Ending, Launch, Process};
use poetry::{Cancel, Counts, Model};

use crate::args::CompareArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::lossy::Lossy;
use crate::output;
use crate::signals;
use crate::status::StatusLine;

use self::poems::Fetched;
use self::scratch::Scratch;
use self::throughput::Loaded;

/// Why a model has no row.
type Wrong = String;

/// One row of the table.
struct Row {
    model: &'static str,
    fetched: Fetched,
    loaded: Loaded,
}

/// Compares the models one after another, so that they do not disturb each other.
pub(crate) fn run(args: &CompareArgs, stderr: &Lossy) -> Ended {
    let stage = Stage::set(stderr)?;
    let status = StatusLine::new(stderr);
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for model in args.models() {
        let row = stage.row(model, &status);
        if stage.interrupted() {
            drop(status);
            return Ok(Failure::trouble("interrupted; every server was ended").say(stderr));
        }
        match row {
            Ok(row) => rows.push(row),
            Err(flaw) => wrong.push(format!("{}: {flaw}", model.name())),
        }
    }
    drop(status);
    stderr.finish();
    if !rows.is_empty()
        && let Err(error) = output::text(&table::render(&rows))
    {
        return Ok(output::failed(&error, stderr));
    }
    for flaw in &wrong {
        Failure::trouble(flaw).say(stderr);
    }
    Ok(if wrong.is_empty() {
        Status::Fine
    } else {
        Status::Trouble
    })
}

/// What the steps share: the command itself, to be started as servers; a folder; a way to be interrupted.
struct Stage {
    program: PathBuf,
    folder: Scratch,
    cancel: Cancel,
    interrupted: Arc<AtomicBool>,
}

impl Stage {
    fn set(stderr: &Lossy) -> Result<Self, Failure> {
        let cannot = |what: &dyn Display, error: io::Error| {
            Failure::new(format_args!("cannot compare: {what}: {}", cause(&error)))
        };
        let program =
            std::env::current_exe().map_err(|error| cannot(&"no path to this command", error))?;
        let folder = Scratch::new().map_err(|error| {
            let base = std::env::temp_dir();
            let what = format!(
                "no folder can be made in {}, which TMPDIR names",
                base.display()
            );
            cannot(&what, error)
        })?;
        let cancel = Cancel::new();
        let interrupted = Arc::new(AtomicBool::new(false));
        let (cancels, notes) = (cancel.clone(), Arc::clone(&interrupted));
        signals::on_interrupt(stderr, move || {
            notes.store(true, Ordering::Release);
            cancels.all();
        })?;
        Ok(Self {
            program,
            folder,
            cancel,
            interrupted,
        })
    }

    fn row(&self, model: &'static dyn Model, status: &StatusLine) -> Result<Row, Wrong> {
        status.say(format_args!(
            "{}: fetching {} poems at once",
            model.name(),
            poems::POEMS.len()
        ));
        let fetched = poems::fetch(self, model)?;
        status.say(format_args!(
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

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    /// Starts this command as a server of `model`; it ends, whatever becomes of us, when we do.
    fn serve<A: Into<OsString>>(
        &self,
        model: &dyn Model,
        what: impl IntoIterator<Item = A>,
        core: Option<usize>,
    ) -> Result<Process, Wrong> {
        if self.interrupted() {
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

    /// A file for `text`.
    fn file(&self, name: &str, text: &str) -> Result<PathBuf, Wrong> {
        let path = self.folder.new_file(name);
        let written = std::fs::write(&path, text);
        written.map_err(|error| format!("cannot write {}: {}", shown(&path), cause(&error)))?;
        Ok(path)
    }
}

fn shown(path: &Path) -> impl Display {
    path.display()
}

/// Stops a server that must have nothing left to do, and gives its counts.
fn stop(server: Process, what: &str) -> Result<Counts, Wrong> {
    let Ending { status, counts } = server.stop().map_err(|error| error.to_string())?;
    match counts {
        Some(counts) if status.success() => Ok(counts),
        Some(_) => Err(format!("{what} ended with {status}")),
        None => Err(format!("{what} left no counts")),
    }
}
