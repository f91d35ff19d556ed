//! A server's end of one connection: a metered byte stream, and the one place where the connection is counted.
//!
//! A shared reference reads and writes, so requests and replies use one connection without a lock: both belong to one
//! task. Dropping a connection closes its socket and counts it as closed.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use poetry::event::{Interest, Scene, Wait};
use poetry::{CloseReason, Kind, panics};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::deadlines::{Deadline, micros};
use crate::ending::Ending;
use crate::net::Accepted;
use crate::shared::Shared;
use crate::watched::{Watcher, noted};

mod byte_stream;
mod metered;

pub(crate) use byte_stream::ByteStream;

/// The state of a connection when the server began to stop (S21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShutdownState {
    /// The connection has not seen the server stop.
    Serving,
    Idle,
    InFlight,
}

/// What a connection does beside the requests that are counted as in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    /// Something is in flight (S21).
    Busy,
    /// In flight, but nothing is owed to the peer (S7).
    Lingering,
}

/// What a connection expects of its peer in time, which is what its deadline is set for (S18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing: there is no deadline, or one that [`Connection::poll_at`] has set.
    Nothing,
    NextRequest,
    RestOfRequest,
    /// That it takes a byte.
    Room,
    /// The end of the lingering close.
    Fin,
}

/// What is known of a connection when it arrives. Few events ask for it, so an idle connection has only a pointer to it.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// Connections that were accepted before.
    pub(crate) number: u64,
    pub(crate) peer: Option<SocketAddr>,
    /// Returned when the connection is dropped (S16).
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection<S: ByteStream> {
    socket: RefCell<S>,
    shared: Rc<Shared>,
    deadline: Deadline,
    in_flight: Cell<u32>,
    expected: Cell<Expected>,
    activity: Cell<Activity>,
    at_stop: Cell<ShutdownState>,
    reason: Cell<Option<CloseReason>>,
    /// Behind the socket, which is closed before the permit is returned.
    arrival: Box<Arrival>,
}

impl<S: ByteStream> Connection<S> {
    /// Counts an accepted socket.
    pub(crate) fn new(accepted: Accepted<S>, shared: &Rc<Shared>) -> Self {
        let connection = Self {
            socket: RefCell::new(accepted.socket),
            shared: Rc::clone(shared),
            deadline: Deadline::default(),
            in_flight: Cell::new(0),
            expected: Cell::new(Expected::Nothing),
            activity: Cell::new(Activity::Idle),
            at_stop: Cell::new(ShutdownState::Serving),
            reason: Cell::new(None),
            arrival: accepted.arrival,
        };
        shared.counters.accepted();
        connection.report(Interest::ACCEPTED, || Kind::Accepted);
        connection
    }

    /// The state that all connections of this worker share.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Prepares for requests. The first often arrives with the connection, so the first read does not wait for an announcement.
    /// Without `keep_alive`, FIN follows the first reply at once.
    pub(crate) fn expects_requests(&mut self, keep_alive: bool) {
        let socket = self.socket.get_mut();
        socket.reads_at_once();
        if !keep_alive {
            socket.sends_with_fin();
        }
    }

    /// Counts requests that are now in flight.
    #[inline]
    pub(crate) fn begin(&self, requests: u32) {
        self.in_flight.set(self.in_flight.get() + requests);
        self.shared.counters.requests(requests.into());
        self.sees_stop();
    }

    /// Counts requests in flight whose replies the kernel has taken to the last byte.
    #[inline]
    pub(crate) fn answered(&self, requests: u32) {
        if requests > 0 {
            self.in_flight.set(self.in_flight.get() - requests);
            self.shared.counters.answered(requests.into());
            self.report(Interest::ANSWERED, || Kind::Answered {
                requests: requests.into(),
            });
        }
    }

    /// Counts and reports the request that `ended` the connection, if one did. Returns whether the connection lingers (S7), and the
    /// reason to close it for.
    pub(crate) fn account_end(&self, ended: Result<(), Box<Ending>>) -> (bool, CloseReason) {
        match ended {
            Ok(()) => (true, CloseReason::Done),
            Err(ending) => {
                let (lingers, reason) = (ending.lingers(), ending.reason());
                self.account(*ending);
                (lingers, reason)
            }
        }
    }

    /// A request that was offloaded is in flight already.
    #[cold]
    fn account(&self, ending: Ending) {
        let counters = &self.shared.counters;
        match ending {
            Ending::Refused(refusal) => {
                self.end_request();
                counters.refused(&refusal);
                self.report(Interest::REFUSED, || Kind::Refused(refusal));
            }
            Ending::Panicked(message) => {
                self.end_request();
                counters.failed(1);
                self.report(Interest::PANICKED, || Kind::Panicked(message));
            }
            _ => {}
        }
    }

    fn end_request(&self) {
        match self.in_flight.get() {
            0 => self.shared.counters.requests(1),
            in_flight => self.in_flight.set(in_flight - 1),
        }
    }

    /// Sets the reason that the connection is counted as closed for when it is dropped.
    pub(crate) fn set_close_reason(&self, reason: CloseReason) {
        self.reason.set(Some(reason));
    }

    /// Sets whether something is in flight (S21) beside the requests that [`begin`](Self::begin) counts.
    #[inline]
    pub(crate) fn set_busy(&self, busy: bool) {
        self.activity.set(match busy {
            true => Activity::Busy,
            false => Activity::Idle,
        });
    }

    /// Sets that everything owed to the peer has been written (S7).
    pub(crate) fn set_lingering(&self) {
        self.activity.set(Activity::Lingering);
    }

    /// Whether the server stops. The first call that sees it decides whether this connection was in flight then.
    #[inline]
    pub(crate) fn sees_stop(&self) -> bool {
        let stopped = self.shared.is_stopped();
        if stopped && self.at_stop.get() == ShutdownState::Serving {
            self.at_stop.set(if self.is_busy() {
                ShutdownState::InFlight
            } else {
                ShutdownState::Idle
            });
        }
        stopped
    }

    fn is_busy(&self) -> bool {
        self.activity.get() != Activity::Idle || self.in_flight.get() > 0
    }

    /// Whether a connection that is closed for `reason` still owes its peer something, so that FIN would make a part of a
    /// poem look complete (S21).
    fn owes(&self, reason: CloseReason) -> bool {
        match reason {
            CloseReason::Write | CloseReason::Left | CloseReason::Upstream => true,
            CloseReason::Cut => self.activity.get() != Activity::Lingering,
            CloseReason::Panic => self.in_flight.get() > 0,
            _ => false,
        }
    }

    /// Whether something was in flight here when the server began to stop.
    #[inline]
    pub(crate) fn was_in_flight_at_stop(&self) -> bool {
        self.at_stop.get() == ShutdownState::InFlight
    }

    /// Ready once the peer is late with what is `expected` of it (S18). The time counts from the first call that expects it.
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    pub(crate) fn poll_late(&self, expected: Expected, cx: &mut Context<'_>) -> Poll<()> {
        let deadlines = &self.shared.deadlines;
        let now = deadlines.now();
        if self.expected.replace(expected) != expected {
            self.deadline.set(now + micros(self.patience(expected)));
        }
        self.deadline.poll_passed(now, deadlines, cx)
    }

    /// How long the connection waits for what is expected.
    fn patience(&self, expected: Expected) -> Duration {
        let limits = &self.shared.limits;
        match expected {
            Expected::Nothing => Duration::ZERO,
            Expected::NextRequest => limits.idle_timeout,
            Expected::RestOfRequest => limits.request_deadline,
            Expected::Room => limits.write_timeout,
            Expected::Fin => limits.linger_timeout,
        }
    }

    /// The peer has sent or taken what was expected. The next wait counts from its own beginning.
    #[inline]
    pub(crate) fn waits_no_more(&self) {
        self.expected.set(Expected::Nothing);
    }

    /// Ready at `at`.
    pub(crate) fn poll_at(&self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.waits_no_more();
        let deadlines = &self.shared.deadlines;
        self.deadline.set(deadlines.time(at));
        let polled = self.deadline.poll_passed(deadlines.now(), deadlines, cx);
        noted(polled, Wait::Pace)
    }

    #[inline]
    fn wrote(&self, bytes: u64) {
        self.shared.counters.wrote(bytes);
        self.report(Interest::WROTE, || Kind::Wrote { bytes });
    }

    /// Builds and reports an event only if the observer wants its `interest`.
    #[inline]
    fn report(&self, interest: Interest, kind: impl FnOnce() -> Kind) {
        if self.shared.reporter.wants(interest) {
            self.observe(kind());
        }
    }

    #[cold]
    fn observe(&self, kind: Kind) {
        self.shared.reporter.report(self.scene(), kind);
    }

    fn scene(&self) -> Scene {
        Scene {
            worker: self.shared.worker,
            task: self.arrival.number,
            parent: None,
            local: self.socket.borrow().local_address(),
            peer: self.arrival.peer,
        }
    }

    /// Where its turns are reported, if the observer wants them.
    pub(crate) fn watcher(&self) -> Option<Watcher> {
        let reporter = &self.shared.reporter;
        reporter.wants(Interest::TURNS).then(|| Watcher {
            reporter: reporter.clone(),
            scene: self.scene(),
        })
    }
}

/// A connection is cancelled by dropping it, so it is counted as closed here, exactly once.
impl<S: ByteStream> Drop for Connection<S> {
    fn drop(&mut self) {
        self.deadline.clear(&self.shared.deadlines);
        self.sees_stop();
        let reason = match self.reason.get() {
            Some(reason) => reason,
            None if std::thread::panicking() => CloseReason::Panic,
            None if self.is_busy() => CloseReason::Cut,
            None => CloseReason::Done,
        };
        if self.owes(reason) {
            self.socket.get_mut().reset_on_close();
        }
        let counters = &self.shared.counters;
        counters.failed(self.in_flight.get().into());
        counters.closed(reason);
        let stop = &self.shared.stop;
        match (self.at_stop.get(), reason) {
            (ShutdownState::InFlight, CloseReason::Cut) => {
                stop.cut.fetch_add(1, Ordering::Relaxed);
            }
            (ShutdownState::InFlight, _) => {
                stop.finished.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        // A second panic while an observer's panic unwinds would end the program.
        let _ = panics::contain(|| self.report(Interest::CLOSED, || Kind::Closed(reason)));
    }
}
