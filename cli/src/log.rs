//! A server's log: what is worth a line, how often, and at what level (S4, S17, S20, S22). Models report events; only
//! this file turns them into words.

use std::fmt;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;

use poetry::event::Interest;
use poetry::limits::REFUSAL_LINES_PER_SECOND;
use poetry::{Event, Kind, Observer};
use tracing::{Level, debug, enabled, error, trace, warn};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::lossy::Lossy;
use crate::throttle::Throttle;

/// Lines a second that say the server cannot accept (S17), or that connections wait for a thread.
const ACCEPT_LINES_PER_SECOND: u32 = 1;

/// Sends what is traced, as far as `filter` lets it, to `stderr`.
pub(crate) fn start(filter: &str, stderr: &Lossy) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::new(format_args!("--log {filter}: {error}")))?;
    let stderr = stderr.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(move || stderr.clone())
        .try_init()
        .map_err(|error| Failure::new(format_args!("cannot log: {error}")))
}

/// Writes a server's log.
pub(crate) struct ServerLog {
    refusals: Throttle,
    accepts: Throttle,
    threads: Throttle,
}

impl ServerLog {
    /// A log that has said nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            refusals: Throttle::new(REFUSAL_LINES_PER_SECOND, |rest| {
                warn!("refused {rest} more requests within the second");
            }),
            accepts: Throttle::new(ACCEPT_LINES_PER_SECOND, |rest| {
                debug!("could not accept {rest} more times within the second");
            }),
            threads: Throttle::new(ACCEPT_LINES_PER_SECOND, |rest| {
                debug!("was short of threads {rest} more times within the second");
            }),
        }
    }

    /// Says what was held back.
    pub(crate) fn finish(&self) {
        self.refusals.finish();
        self.accepts.finish();
        self.threads.finish();
    }
}

impl Observer for ServerLog {
    fn interest(&self) -> Interest {
        if enabled!(Level::TRACE) {
            Interest::ALL
        } else if enabled!(Level::DEBUG) {
            Interest::TROUBLE | Interest::ACCEPTED | Interest::CLOSED
        } else {
            Interest::TROUBLE
        }
    }

    fn observe(&self, event: &Event) {
        let peer = Shown(event.scene.peer);
        match &event.kind {
            Kind::Refused(refusal) => {
                if self.refusals.admits(event.at) {
                    warn!("refused a request of {peer}: {refusal}");
                }
            }
            Kind::AcceptFailed(cause) => {
                if self.accepts.admits(event.at) {
                    warn!("cannot accept, trying again soon: {cause}");
                }
            }
            Kind::ShortOfThreads(words) => {
                if self.threads.admits(event.at) {
                    warn!("{words}");
                }
            }
            Kind::Panicked(message) => error!("a request of {peer} panicked: {message}"),
            Kind::Accepted => debug!("accepted {peer}"),
            Kind::Closed(reason) => debug!("closed {peer}: {reason:?}"),
            kind => trace!("{peer}: {kind:?}"),
        }
    }
}

struct Shown(Option<SocketAddr>);

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(out),
            None => out.write_str("a client"),
        }
    }
}
