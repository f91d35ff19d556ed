//! A server's end of one connection: a metered byte stream, and the one place where the connection is counted.
//!
//! A shared reference reads and writes, so requests and replies use one connection without a lock: both belong to one
//! task. Dropping a connection closes its socket and counts it as closed.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poetry::event::{Interest, Scene};
use poetry::{CloseReason, Kind, panics};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::deadlines::{Deadline, after};
use crate::ending::Ending;
use crate::net::{Accepted, Socket};
use crate::shared::Shared;

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

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    socket: RefCell<S>,
    shared: Rc<Shared>,
    /// The place of its events, if an observer wants any.
    scene: Option<Box<Scene>>,
    deadline: RefCell<Deadline>,
    in_flight: Cell<u32>,
    activity: Cell<Activity>,
    at_stop: Cell<ShutdownState>,
    reason: Cell<Option<CloseReason>>,
    /// Has the socket closed with a reset instead of FIN.
    reset: fn(&S),
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    /// Counts `socket` as accepted. The permit is returned when the connection is dropped (S16).
    pub(crate) fn new(
        socket: S,
        shared: &Rc<Shared>,
        scene: impl FnOnce(&S) -> Scene,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let observed = shared.reporter.wants(Interest::ALL);
        let connection = Self {
            scene: observed.then(|| Box::new(scene(&socket))),
            socket: RefCell::new(socket),
            shared: Rc::clone(shared),
            deadline: RefCell::new(Deadline::new(Rc::clone(&shared.deadlines))),
            in_flight: Cell::new(0),
            activity: Cell::new(Activity::Idle),
            at_stop: Cell::new(ShutdownState::Serving),
            reason: Cell::new(None),
            reset: |_| (),
            _permit: permit,
        };
        shared.counters.accepted();
        connection.report(Interest::ACCEPTED, || Kind::Accepted);
        connection
    }

    /// The state that all connections of this worker share.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
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

    /// Counts and reports the request that caused `ending`, if one did: one that was offloaded is in flight already. Returns the
    /// reason to close the connection for.
    pub(crate) fn account(&self, ending: Ending) -> CloseReason {
        let reason = ending.reason();
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
        reason
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

    /// Ready once the connection's one deadline has passed. If `renewed` is set, the deadline first moves to that time
    /// from now.
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    pub(crate) fn poll_due(&self, renewed: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let mut deadline = self.deadline.borrow_mut();
        if let Some(delay) = renewed {
            deadline.set(after(now, delay));
        }
        deadline.poll_passed(now, cx)
    }

    /// Ready at `at`.
    pub(crate) fn poll_at(&self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut deadline = self.deadline.borrow_mut();
        deadline.set(at);
        deadline.poll_passed(Instant::now(), cx)
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
        if let Some(scene) = &self.scene {
            self.shared.reporter.report(**scene, kind);
        }
    }
}

impl Connection<Socket> {
    /// Takes over an accepted socket.
    pub(crate) fn accept(accepted: Accepted<Socket>, shared: &Rc<Shared>) -> Self {
        let scene = |socket: &Socket| {
            let (local, peer) = socket.ends();
            Scene {
                worker: shared.worker,
                task: accepted.number,
                parent: None,
                local,
                peer,
            }
        };
        let permit = Some(accepted.permit);
        let mut connection = Self::new(accepted.socket, shared, scene, permit);
        connection.reset = Socket::reset_on_close;
        connection
    }
}

/// A connection is cancelled by dropping it, so it is counted as closed here, exactly once.
impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.sees_stop();
        let reason = match self.reason.get() {
            Some(reason) => reason,
            None if std::thread::panicking() => CloseReason::Panic,
            None if self.is_busy() => CloseReason::Cut,
            None => CloseReason::Done,
        };
        if self.owes(reason) {
            (self.reset)(self.socket.get_mut());
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

impl<S: AsyncRead + Unpin> AsyncRead for &Connection<S> {
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let mut socket = self.socket.borrow_mut();
        ready!(Pin::new(&mut *socket).poll_read(cx, buffer))?;
        let bytes = (buffer.filled().len() - before) as u64;
        if bytes > 0 {
            self.shared.counters.read(bytes);
            self.report(Interest::READ, || Kind::Read { bytes });
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for &Connection<S> {
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        let bytes = ready!(Pin::new(&mut *socket).poll_write(cx, bytes))?;
        self.wrote(bytes as u64);
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        let bytes = ready!(Pin::new(&mut *socket).poll_write_vectored(cx, slices))?;
        self.wrote(bytes as u64);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_shutdown(cx)
    }
}
