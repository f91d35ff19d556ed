//! Where a server's counts go: a line of JSON each time they are asked for, and one at exit (S23).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Once};

use poetry::Counts;
use tracing::{debug, error};

use crate::failure::{Failure, cause};
use crate::lossy::Lossy;

/// The sink of counts; clones write to the same.
#[derive(Clone)]
pub(crate) struct Stats {
    sink: Sink,
    last: Arc<Once>,
}

#[derive(Clone)]
enum Sink {
    /// `--stats FILE`.
    File(Arc<File>),
    /// No file was named.
    Stderr(Lossy),
}

impl Stats {
    /// Opens `path`, to append, now rather than when there is something to write: a path that cannot be written is
    /// bad usage. Without a path it is `stderr`.
    pub(crate) fn open(path: Option<&Path>, stderr: &Lossy) -> Result<Self, Failure> {
        let sink = match path {
            Some(path) => Sink::File(Arc::new(append(path)?)),
            None => Sink::Stderr(stderr.clone()),
        };
        let last = Arc::new(Once::new());
        Ok(Self { sink, last })
    }

    /// Writes the line that stands at the end, unless another thread has.
    pub(crate) fn write_last(&self, counts: &Counts) {
        self.last.call_once(|| self.write(counts));
    }

    /// Writes one line, with one write, so that lines of several servers may share a file.
    pub(crate) fn write(&self, counts: &Counts) {
        let line = match serde_json::to_string(counts) {
            Ok(line) => line,
            Err(error) => return error!("cannot write the counts: {error}"),
        };
        match &self.sink {
            Sink::Stderr(stderr) => stderr.line(line),
            Sink::File(file) => match file.as_ref().write_all(format!("{line}\n").as_bytes()) {
                Ok(()) => debug!("wrote the counts"),
                Err(error) => error!("cannot write the counts: {}", cause(&error)),
            },
        }
    }
}

fn append(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|error| {
        let (shown, cause) = (path.display(), cause(&error));
        Failure::new(format_args!(
            "cannot write --stats {shown}: {cause}; name a file that can be written"
        ))
    })
}
