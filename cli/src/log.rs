//! A server's log: which events become a line, how often, and at what level (S4, S17, S20, S22). Models report events;
//! only this file puts them into words.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use poetry::event::Interest;
use poetry::limits::REFUSAL_LINES_PER_SECOND;
use poetry::{Event, FetchFailure, Kind, Observer, Role, Service};
use tracing::{Level, debug, enabled, error, trace, warn};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;
use crate::failure::{Failure, without_number};
use crate::hints;
use crate::line_writer::LineWriter;
use crate::terminal;
use crate::throttle::Throttle;
use crate::words::counted;

/// Lines a second about a server that cannot accept (S17) or is short of threads.
const ACCEPT_LINES_PER_SECOND: u32 = 1;

/// Starts logging to `stderr` what `filter` admits.
pub(crate) fn start(filter: &str, format: LogFormat, stderr: &LineWriter) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::new(format_args!("--log {filter}: {error}")))?;
    let stderr = stderr.clone();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal::stderr_is_coloured())
        .with_target(false)
        .with_writer(move || stderr.clone());
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(format_args!("cannot start the log: {error}")))
}

/// Writes a server's log.
pub(crate) struct ServerLog {
    of: Prefix,
    refusals: Throttle,
    accepts: Throttle,
    threads: Throttle,
    fetches: Throttle,
    /// What a proxy fetches from.
    upstream: String,
}

impl ServerLog {
    /// Creates the log of a server that offers `service`. If it is one of several, its lines begin with its `name`.
    pub(crate) fn new(service: &Service, name: Option<&str>) -> Self {
        let of = Prefix(name.map(Arc::from));
        Self {
            upstream: match service {
                Service::Proxy(proxy) => proxy.upstream.to_string(),
                _ => String::new(),
            },
            fetches: of.throttle(REFUSAL_LINES_PER_SECOND, |of, left_out| {
                let fetches = counted(left_out, "more fetch");
                warn!("{of}{fetches} failed within the second");
            }),
            refusals: of.throttle(REFUSAL_LINES_PER_SECOND, |of, left_out| {
                let requests = counted(left_out, "more request");
                warn!("{of}refused {requests} within the second");
            }),
            accepts: of.throttle(ACCEPT_LINES_PER_SECOND, |of, left_out| {
                let times = counted(left_out, "more time");
                debug!("{of}could not accept {times} within the second");
            }),
            threads: of.throttle(ACCEPT_LINES_PER_SECOND, |of, left_out| {
                let times = counted(left_out, "more time");
                debug!("{of}was short of threads {times} within the second");
            }),
            of,
        }
    }

    /// Reports how many lines the throttles left out.
    pub(crate) fn finish(&self) {
        self.refusals.finish();
        self.accepts.finish();
        self.threads.finish();
        self.fetches.finish();
    }

    /// Logs an event of a proxy's fetch.
    fn observe_fetch(&self, event: &Event) {
        let (of, upstream) = (&self.of, &self.upstream);
        match &event.kind {
            Kind::Failed(FetchFailure::Cancelled) => {
                debug!("{of}stopped fetching from {upstream}: no client waits for it");
            }
            Kind::Failed(failure) => {
                if self.fetches.admits(event.at) {
                    let hint = hints::after_upstream(upstream, failure);
                    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
                    let failure = without_number(&failure.to_string());
                    warn!("{of}cannot fetch from {upstream}: {failure}{hint}");
                }
            }
            Kind::Finished { bytes } => {
                debug!("{of}fetched {} from {upstream}", counted(*bytes, "byte"));
            }
            kind => trace!("{of}{upstream}: {kind:?}"),
        }
    }
}

impl Observer for ServerLog {
    // ANCHOR: interest
    fn interest(&self) -> Interest {
        if enabled!(Level::TRACE) {
            Interest::ALL
        } else if enabled!(Level::DEBUG) {
            Interest::TROUBLE | Interest::ACCEPTED | Interest::CLOSED | Interest::FINISHED
        } else {
            Interest::TROUBLE
        }
    }
    // ANCHOR_END: interest

    fn observe(&self, event: &Event) {
        let (of, peer) = (&self.of, PeerName(event.scene.peer));
        if event.role == Role::PoemClient {
            return self.observe_fetch(event);
        }
        match &event.kind {
            Kind::Refused(refusal) => {
                if self.refusals.admits(event.at) {
                    warn!("{of}refused a request of {peer}: {refusal}");
                }
            }
            Kind::AcceptFailed(cause) => {
                if self.accepts.admits(event.at) {
                    warn!("{of}cannot accept, trying again soon: {cause}");
                }
            }
            Kind::ShortOfThreads(words) => {
                if self.threads.admits(event.at) {
                    warn!("{of}{words}; lower --connections-max, or use --pool");
                }
            }
            Kind::Panicked(message) => match event.scene.peer {
                Some(_) => error!("{of}a request of {peer} panicked: {message}"),
                None => error!("{of}a part of the server panicked: {message}"),
            },
            Kind::Accepted => debug!("{of}accepted {peer}"),
            Kind::Closed(reason) => debug!("{of}closed {peer}: {reason:?}"),
            kind => trace!("{of}{peer}: {kind:?}"),
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

/// What the lines of a server begin with: its name, if it is one of several.
#[derive(Clone)]
struct Prefix(Option<Arc<str>>);

impl Prefix {
    fn throttle(&self, lines_per_second: u32, report: fn(&Self, u64)) -> Throttle {
        let of = self.clone();
        Throttle::new(lines_per_second, move |left_out| report(&of, left_out))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(out, "{name}: "),
            None => Ok(()),
        }
    }
}
