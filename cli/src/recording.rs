//! `--record FILE` of `serve` and `fetch`: every event as a line of JSON, for `quatrain timeline`.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use poetry::{Clock, Observer};
use timeline::{Header, Recorder, Tee};
use tracing::{error, info, warn};

use crate::failure::{Failure, cause, cause_at_start};
use crate::line_writer::would_block;
use crate::sink_file;
use crate::words::{counted, shown};

/// How long the end waits for a reader that does not read. A full queue takes some 20 ms to write to a file.
const PATIENCE: Duration = Duration::from_millis(500);

/// A recorder and its file; nothing without the option.
pub(crate) struct Recording(Option<(Recorder, PathBuf)>);

impl Recording {
    /// Creates the file and starts to record, on `clock`.
    pub(crate) fn start(path: Option<&Path>, clock: &Clock) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let mut how = File::options();
        how.create(true).write(true).truncate(true);
        let file = sink_file::open("--record", path, &mut how)?;
        let unusable = |cause: String| sink_file::unusable("--record", path, cause);
        if would_block(&file) {
            return Err(unusable("its reader does not read".to_owned()));
        }
        let header = Header::new(command_line()).with_clock_at(clock.now());
        let recorder = Recorder::start(file, &header);
        let recorder = recorder.map_err(|error| unusable(cause_at_start(&error)))?;
        Ok(Self(Some((recorder, path.to_owned()))))
    }

    /// Returns an observer that records besides what `observer` does.
    pub(crate) fn beside(&self, observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
        match &self.0 {
            Some((recorder, _)) => Arc::new(Tee::new([recorder.observer(), observer])),
            None => observer,
        }
    }

    /// Writes what is left. A record that lacks events says so, and is no reason to fail.
    pub(crate) fn finish(self) {
        let Some((recorder, path)) = self.0 else {
            return;
        };
        let path = shown(&path);
        match recorder.finish(PATIENCE) {
            Ok(written) if written.dropped > 0 => warn!(
                "{path} lacks {}: they came faster than they could be written, or there were too many",
                counted(written.dropped, "event")
            ),
            Ok(written) => info!("recorded {} in {path}", counted(written.events, "event")),
            Err(error) => error!("{path} is not complete: {}", cause(&error)),
        }
    }
}

/// Returns the words of the command line, with spaces between them.
fn command_line() -> String {
    let mut words = vec!["quatrain".to_owned()];
    words.extend(env::args_os().skip(1).map(|word| shown(Path::new(&word))));
    words.join(" ")
}
