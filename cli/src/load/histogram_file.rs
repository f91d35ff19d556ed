//! The new file for the histograms of a load.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use measure::bundle::append_histogram;
use measure::load::{Latency, Report};

use crate::failure::{Failure, cause};
use crate::sink_file;
use crate::words::shown;

use super::Load;

/// A file that is created before the load, so that a load is not run in vain. It is removed if there is nothing to keep.
pub(super) struct HistogramFile<'a> {
    path: &'a Path,
    kept: bool,
}

impl<'a> HistogramFile<'a> {
    /// Creates the file, which must not exist.
    pub(super) fn create(path: &'a Path) -> Result<Self, Failure> {
        match File::create_new(path) {
            Ok(_) => Ok(Self { path, kept: false }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let file = shown(path);
                Err(Failure::new(format_args!(
                    "cannot write --histogram {file}: it exists; name a new file"
                )))
            }
            Err(error) => Err(sink_file::unusable("--histogram", path, cause(&error))),
        }
    }

    /// Writes the histograms, tagged by what was requested.
    pub(super) fn keep(mut self, load: &Load<'_>, report: &Report) -> Result<(), Failure> {
        let other = load.other.as_ref().zip(report.other_latency.as_ref());
        for (request, latency) in [(&load.request, &report.latency)].into_iter().chain(other) {
            self.append(request, report.elapsed, latency)?;
        }
        Ok(())
    }

    /// Writes the latencies of one request, recorded in `length`.
    pub(super) fn append(
        &mut self,
        request: &str,
        length: Duration,
        latency: &Latency,
    ) -> Result<(), Failure> {
        // A tag ends at a comma or a space.
        let tag = request.replace([',', ' ', '\t', '\n', '\r'], "_");
        append_histogram(self.path, &tag, length, latency)
            .map_err(|error| Failure::trouble(format_args!("cannot write --histogram: {error}")))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for HistogramFile<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // An empty file is left behind at worst.
            let _ = fs::remove_file(self.path);
        }
    }
}
