//! `--record FILE` of `serve` and `fetch`: every event as a line of JSON, for `quatrain timeline`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use poetry::{Clock, Observer};
use timeline::{Header, Recorder, Tee};
use tracing::{error, info, warn};

use crate::failure::{Failure, cause, cause_at_start};
use crate::words::{counted, shown};

/// A recorder and its file; nothing without the option.
pub(crate) struct Recording(Option<(Recorder, PathBuf)>);

impl Recording {
    /// Creates the file and starts to record, on `clock`.
    pub(crate) fn start(path: Option<&Path>, clock: &Clock) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let unusable = |cause: String| {
            let path = shown(path);
            Failure::new(format_args!(
                "cannot write --record {path}: {cause}; name a file that can be written"
            ))
        };
        let file = File::create(path).map_err(|error| unusable(cause(&error)))?;
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
        match recorder.finish() {
            Ok(written) if written.dropped > 0 => warn!(
                "{path} lacks {}: they came faster than they could be written, or there were too many",
                counted(written.dropped, "event")
            ),
            Ok(written) => info!("recorded {} in {path}", counted(written.events, "event")),
            Err(error) => error!("cannot write {path}: {}", cause(&error)),
        }
    }
}

/// Returns the command line as a person would type it.
fn command_line() -> String {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| shown(Path::new(&word)));
    ["quatrain".to_owned()]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}
