//! Where a server's counts go: a line of JSON for each SIGUSR1, and one at exit (S23). A sink that does not keep up, such
//! as a FIFO that is not read, delays neither signals nor the exit (S22).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use poetry::{Counts, Role, Service};
use serde::{Deserialize, Serialize};
use tracing::{debug, error, warn};

use crate::failure::{Failure, cause};
use crate::line_writer::{LineWriter, Sink, would_block};
use crate::output;
use crate::sink_file;
use crate::words::{counted, shown};

/// The sink of counts; clones share it.
#[derive(Clone)]
pub(crate) struct Stats {
    writer: LineWriter,
    last_written: Arc<AtomicBool>,
}

impl Stats {
    /// Opens `path` to append, now rather than with the first line, so that an unusable path is reported as wrong usage.
    /// Without a path, counts go to `stderr`.
    pub(crate) fn open(path: Option<&Path>, stderr: &LineWriter) -> Result<Self, Failure> {
        let writer = match path {
            Some(path) => LineWriter::new("stats", StatsFile::open(path)?),
            None => stderr.clone(),
        };
        Ok(Self {
            writer,
            last_written: Arc::default(),
        })
    }

    /// Writes the lines at exit, unless another thread has, and waits for them within bounds.
    pub(crate) fn write_last(&self, counts: &[impl Serialize]) {
        if !self.last_written.swap(true, Ordering::AcqRel) {
            counts.iter().for_each(|counts| self.write(counts));
        }
        if !self.writer.finish() {
            error!("the last counts were not written: their reader did not keep up");
        }
    }

    /// Writes one line. Lines are never cut between two writes, so several servers may append to one file.
    pub(crate) fn write(&self, counts: &impl Serialize) {
        match serde_json::to_string(counts) {
            Ok(line) => self.writer.line(line),
            Err(error) => error!("cannot write the counts: {error}"),
        }
    }
}

/// The counts of one server of a process (S23).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServiceCounts {
    /// The name of its service; without `--config` its role.
    pub(crate) service: String,
    /// What it serves, by the word of the command line.
    pub(crate) role: String,
    /// The name of its model.
    pub(crate) model: String,
    /// Where it listens.
    pub(crate) address: String,
    /// Its counts.
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

impl ServiceCounts {
    /// Whether `other` has the counts of the same service, in the same role and model, at the same address.
    pub(crate) fn is_of_the_same(&self, other: &Self) -> bool {
        let names = |counts: &Self| {
            let Self {
                service,
                role,
                model,
                address,
                ..
            } = counts;
            [service, role, model, address].map(String::clone)
        };
        names(self) == names(other)
    }
}

/// Returns a line of JSON for each of `counts`.
pub(crate) fn lines(counts: &[ServiceCounts]) -> String {
    counts.iter().map(output::json_line).collect()
}

/// Returns the role of a server that offers `service`.
pub(crate) fn role(service: &Service) -> Role {
    match service {
        Service::Poem(_) => Role::PoemServer,
        Service::Transform(_) => Role::TransformServer,
        Service::Library(_) => Role::LibraryServer,
        Service::Proxy(_) => Role::Proxy,
    }
}

/// Returns the word of a server's role on the command line.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::PoemServer => "poem",
        Role::TransformServer => "transform",
        Role::LibraryServer => "library",
        Role::Proxy => "proxy",
        Role::PoemClient | Role::TransformClient => "client",
    }
}

/// The file of `--stats`.
struct StatsFile {
    file: File,
    path: String,
}

impl StatsFile {
    /// Opens the file; writes to it block, in the thread of a [`LineWriter`].
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = sink_file::open("--stats", path, File::options().create(true).append(true))?;
        let path = shown(path);
        Ok(Self { file, path })
    }
}

impl Sink for StatsFile {
    fn write(&self, lines: &[u8]) {
        match (&self.file).write_all(lines) {
            Ok(()) => debug!("wrote the counts"),
            Err(error) => error!(
                "cannot write the counts to {}: {}",
                self.path,
                cause(&error)
            ),
        }
    }

    fn is_full(&self) -> bool {
        would_block(&self.file)
    }

    fn report_dropped(&self, lines: u64) {
        let (lines, path) = (counted(lines, "line"), &self.path);
        warn!("{lines} of counts dropped: {path} did not keep up");
    }
}
