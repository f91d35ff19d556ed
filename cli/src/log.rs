//! A server's log: which events become a line, how often, and at what level (S4, S17, S20, S22). Models report events;
//! only this file puts them into words.

use std::fmt;
use std::net::SocketAddr;

use poetry::event::Interest;
use poetry::limits::REFUSAL_LINES_PER_SECOND;
use poetry::{Event, Kind, Observer};
use tracing::{Level, debug, enabled, error, trace, warn};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::line_writer::LineWriter;
use crate::terminal;
use crate::throttle::Throttle;
use crate::words::counted;

/// Lines a second about a server that cannot accept (S17) or is short of threads.
const ACCEPT_LINES_PER_SECOND: u32 = 1;

/// Starts logging to `stderr` what `filter` admits.
pub(crate) fn start(filter: &str, stderr: &LineWriter) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::new(format_args!("--log {filter}: {error}")))?;
    let stderr = stderr.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal::stderr_is_coloured())
        .with_target(false)
        .with_writer(move || stderr.clone())
        .try_init()
        .map_err(|error| Failure::new(format_args!("cannot start the log: {error}")))
}

/// Writes a server's log.
pub(crate) struct ServerLog {
    refusals: Throttle,
    accepts: Throttle,
    threads: Throttle,
}

impl ServerLog {
    /// Creates a log without lines.
    pub(crate) fn new() -> Self {
        Self {
            refusals: Throttle::new(REFUSAL_LINES_PER_SECOND, |left_out| {
                let requests = counted(left_out, "more request");
                warn!("refused {requests} within the second");
            }),
            accepts: Throttle::new(ACCEPT_LINES_PER_SECOND, |left_out| {
                let times = counted(left_out, "more time");
                debug!("could not accept {times} within the second");
            }),
            threads: Throttle::new(ACCEPT_LINES_PER_SECOND, |left_out| {
                let times = counted(left_out, "more time");
                debug!("was short of threads {times} within the second");
            }),
        }
    }

    /// Reports how many lines the throttles left out.
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
        let peer = PeerName(event.scene.peer);
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

struct PeerName(Option<SocketAddr>);

impl fmt::Display for PeerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(out),
            None => out.write_str("a client"),
        }
    }
}
