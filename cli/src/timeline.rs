//! `quatrain timeline`: sheets, traces and sequence diagrams of records. The library `timeline` draws them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use timeline::{Record, RecordError, Sheet, page, perfetto, sequence, svg};

use crate::args::TimelineArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::output;
use crate::words::shown;

/// Draws the records.
pub(crate) fn run(args: &TimelineArgs, stderr: &LineWriter) -> Ended {
    let out = args.out.as_deref();
    let out = match (out, args.sequence) {
        (None, true) => None,
        (out, sequence) => {
            let out = out.unwrap_or(Path::new("timeline.html"));
            Some((out, Form::of(out, sequence)?))
        }
    };
    let records: Vec<Record> = args
        .files
        .iter()
        .map(|file| read(file))
        .collect::<Result<_, _>>()?;
    if records.iter().all(|record| record.events.is_empty()) {
        return Err(Failure::new("nothing to draw: the records have no events"));
    }
    let text = match out {
        None => sequence::diagram(&records),
        Some((out, form)) => {
            write(out, &form.draw(&records))?;
            format!("Timeline: {}\n", shown(out))
        }
    };
    Ok(output::last_text(&text, Status::Success, stderr))
}

/// Checks that a file can be written, before the drawing takes its time. The file is left as it is; one that is missing stays missing.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let checked = match fs::metadata(path) {
        // Opening a pipe can wait for its reader.
        Ok(about) if !about.is_file() && !about.is_dir() => Ok(()),
        Ok(_) => File::options().append(true).open(path).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::create_new(path).and_then(|_| fs::remove_file(path))
        }
        Err(error) => Err(error),
    };
    checked.map_err(|error| cannot_write(path, &error))
}

/// Writes a file that was drawn.
pub(crate) fn write(path: &Path, drawn: &str) -> Result<(), Failure> {
    fs::write(path, drawn).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let (path, cause) = (shown(path), cause(error));
    Failure::trouble(format_args!(
        "cannot write {path}: {cause}; name another file by --out"
    ))
}

fn read(path: &Path) -> Result<Record, Failure> {
    let read = File::open(path).map_err(RecordError::from);
    let record = read.and_then(|file| Record::read(BufReader::new(file)));
    record.map_err(|error| {
        let path = shown(path);
        Failure::new(format_args!(
            "cannot read {path}: {error}; name a file that --record wrote"
        ))
    })
}

/// What is written, by the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    Drawing,
    Trace,
    Sequence,
    DrawnSequence,
}

impl Form {
    fn of(path: &Path, sequence: bool) -> Result<Self, Failure> {
        match path.extension().and_then(OsStr::to_str) {
            Some("mmd") => Ok(Self::Sequence),
            Some("svg") if sequence => Ok(Self::DrawnSequence),
            _ if sequence => Err(Failure::new(format_args!(
                "cannot write a sequence diagram to {}; name a file that ends in .svg or .mmd",
                shown(path)
            ))),
            Some("html") => Ok(Self::Page),
            Some("svg") => Ok(Self::Drawing),
            Some("json") => Ok(Self::Trace),
            _ => Err(Failure::new(format_args!(
                "cannot tell from {} what to write; name a file that ends in .html, .svg, .json or .mmd",
                shown(path)
            ))),
        }
    }

    fn draw(self, records: &[Record]) -> String {
        let sheet = || Sheet::of(records);
        match self {
            Self::Page => page(&sheet(), &title(records)),
            Self::Drawing => svg::svg(&sheet(), &title(records)),
            Self::Trace => perfetto::trace(&sheet()),
            Self::Sequence => sequence::diagram(records),
            Self::DrawnSequence => sequence::svg(records, &title(records)),
        }
    }
}

fn title(records: &[Record]) -> String {
    let programs: Vec<&str> = records
        .iter()
        .map(|record| record.header.program.as_str())
        .collect();
    format!("Timeline of {}", programs.join(", "))
}
