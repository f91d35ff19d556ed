//! `quatrain show`: runs each model in every scene, and draws what happened on one sheet a scene.

mod busy;
mod crash;
mod poems;

use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use poetry::{Model, Observer, Options, Server, Service};
use timeline::{Header, Memory, Record, Sheet, pages};

use crate::args::ShowArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::words::shown;
use crate::{output, timeline as drawing};

/// Events of one run; the scenes have a hundredth of that.
const EVENTS_MAX: usize = 100_000;

/// A scene as it is shown: a sheet, its title and what to look at.
struct Scene {
    title: &'static str,
    words: String,
    records: Vec<Record>,
}

/// Runs the scenes, writes the sheet, and prints where it is.
pub(crate) fn run(args: &ShowArgs, stderr: &LineWriter) -> Ended {
    let models = args.models();
    drawing::check(&args.out)?;
    let scenes = [
        poems::at_once(&models)?,
        poems::in_turn(&models)?,
        busy::scene(&models, false)?,
        busy::scene(&models, true)?,
        crash::scene(&models)?,
    ];
    let sheets: Vec<Sheet> = scenes
        .iter()
        .map(|scene| Sheet::of(&scene.records))
        .collect();
    let shown_sheets: Vec<(&Sheet, &str, &str)> = sheets
        .iter()
        .zip(&scenes)
        .map(|(sheet, scene)| (sheet, scene.title, scene.words.as_str()))
        .collect();
    let page = pages(&shown_sheets, "Which thread ran which task when");
    drawing::write(&args.out, &page)?;
    if args.open {
        open(args)?;
    }
    let line = format!("Timeline: {}\n", shown(&args.out));
    Ok(output::last_text(&line, Status::Success, stderr))
}

/// Starts a server on a free port.
fn start(
    model: &dyn Model,
    service: Service,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Box<dyn Server>> {
    let listener = models::listen(([127, 0, 0, 1], 0).into())?;
    model.serve(listener, service, options, observer)
}

/// Returns what was recorded, with its first event at one hour, so that the records of runs one after another begin together.
fn recorded(memory: &Memory) -> Record {
    let mut record = memory.take(Header::new("quatrain show"));
    let begin = record.events.iter().map(|event| event.at).min();
    record.header.origin = Duration::from_secs(3_600).saturating_sub(begin.unwrap_or_default());
    record
}

fn failed(model: &dyn Model, what: &str, cause: impl std::fmt::Display) -> Failure {
    let name = model.name();
    Failure::trouble(format_args!("cannot show {name}: {what}: {cause}"))
}

fn open(args: &ShowArgs) -> Result<(), Failure> {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    command
        .arg(&args.out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let opened = command.status();
    let cause = match opened {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => cause(&error),
    };
    Err(Failure::trouble(format_args!(
        "{program} cannot open {}: {cause}; open it in a browser",
        shown(&args.out)
    )))
}
