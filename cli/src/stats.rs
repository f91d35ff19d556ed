//! Where a server's counts go: a line of JSON for each SIGUSR1, and one at exit (S23). A sink that does not keep up, such
//! as a FIFO that is not read, delays neither signals nor the exit (S22).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use poetry::Counts;
use tracing::{debug, error, warn};

use crate::failure::{Failure, cause};
use crate::line_writer::{LineWriter, Sink, would_block};
use crate::words::counted;

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

    /// Writes the line at exit, unless another thread has, and waits for it within bounds.
    pub(crate) fn write_last(&self, counts: &Counts) {
        if !self.last_written.swap(true, Ordering::AcqRel) {
            self.write(counts);
        }
        if !self.writer.finish() {
            error!("the last counts were not written: their reader did not keep up");
        }
    }

    /// Writes one line. Lines are never cut between two writes, so several servers may append to one file.
    pub(crate) fn write(&self, counts: &Counts) {
        match serde_json::to_string(counts) {
            Ok(line) => self.writer.line(line),
            Err(error) => error!("cannot write the counts: {error}"),
        }
    }
}

/// The file of `--stats`.
struct StatsFile {
    file: File,
    path: String,
}

impl StatsFile {
    /// Opens the file without waiting for the reader of a FIFO; writes to it block, in the thread of a [`LineWriter`].
    fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(path)
            .and_then(|file| set_blocking(&file).map(|()| file));
        match opened {
            Ok(file) => Ok(Self {
                file,
                path: shown.to_string(),
            }),
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
                Err(Failure::new(format_args!(
                    "cannot write --stats {shown}: no process reads it; start its reader first, or name a file"
                )))
            }
            Err(error) => Err(Failure::new(format_args!(
                "cannot write --stats {shown}: {}; name a file that can be written",
                cause(&error)
            ))),
        }
    }
}

/// Lets writes to `file` block.
pub(crate) fn set_blocking(file: &File) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
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
