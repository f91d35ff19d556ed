//! A server's end of one connection: a metered byte stream, and the one place where it is counted.
//!
//! A reference to it reads and writes, so the stream of its requests and the sink of their replies can share it
//! without a lock: both belong to one task. Dropping it closes the socket and counts the connection as closed.

use std::cell::{Cell, RefCell};
use std::io;
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

/// Whether a shutdown has been noticed, and in what state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtStop {
    NotStopped,
    Idle,
    InFlight,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Connection<S> {
    socket: RefCell<S>,
    shared: Rc<Shared>,
    /// Who this is, for events; nobody, when nobody wants to know.
    scene: Option<Box<Scene>>,
    deadline: RefCell<Deadline>,
    in_flight: Cell<u32>,
    busy: Cell<bool>,
    at_stop: Cell<AtStop>,
    reason: Cell<Option<CloseReason>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    /// Counts `socket` as accepted. Its permit goes back when the connection is gone (S16).
    pub fn new(
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
            busy: Cell::new(false),
            at_stop: Cell::new(AtStop::NotStopped),
            reason: Cell::new(None),
            _permit: permit,
        };
        shared.counters.accepted();
        connection.report(Interest::ACCEPTED, || Kind::Accepted);
        connection
    }

    /// What all connections of this worker share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Requests have begun to be answered.
    #[inline]
    pub(crate) fn begin(&self, requests: u32) {
        self.in_flight.set(self.in_flight.get() + requests);
        self.shared.counters.requests(requests.into());
        self.sees_stop();
    }

    /// The replies to so many requests were taken, to the last byte.
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

    /// Counts and reports the request that `ending` is about, if it is about one: why the connection will close.
    pub(crate) fn account(&self, ending: Ending) -> CloseReason {
        let reason = ending.reason();
        let counters = &self.shared.counters;
        match ending {
            Ending::Refused(refusal) => {
                counters.requests(1);
                counters.refused(&refusal);
                self.report(Interest::REFUSED, || Kind::Refused(refusal));
            }
            Ending::Panicked(message) => {
                counters.requests(1);
                counters.failed(1);
                self.report(Interest::PANICKED, || Kind::Panicked(message));
            }
            _ => {}
        }
        reason
    }

    /// Why the connection is closed, which happens when it is dropped. Whoever drops it earlier has cut it.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.reason.set(Some(reason));
    }

    /// Whether something is in flight, as S21 has it; set by whoever holds it.
    #[inline]
    pub(crate) fn set_busy(&self, busy: bool) {
        self.busy.set(busy);
    }

    /// Whether the server stops. The first time it is seen decides whether this connection was in flight then.
    #[inline]
    pub(crate) fn sees_stop(&self) -> bool {
        let stopped = self.shared.is_stopped();
        if stopped && self.at_stop.get() == AtStop::NotStopped {
            self.at_stop.set(if self.is_busy() {
                AtStop::InFlight
            } else {
                AtStop::Idle
            });
        }
        stopped
    }

    fn is_busy(&self) -> bool {
        self.busy.get() || self.in_flight.get() > 0
    }

    /// Whether the server stops and something was in flight here when it was told to.
    #[inline]
    pub(crate) fn was_in_flight_at_stop(&self) -> bool {
        self.at_stop.get() == AtStop::InFlight
    }

    /// Ready once the connection's one deadline has passed; `renewed` first moves it to so long from now.
    // Always: see `Replies::poll_deliver`.
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

    /// Says what happened, if somebody wants to know of its `interest`. What nobody wants is not even put into words.
    #[inline]
    fn report(&self, interest: Interest, kind: impl FnOnce() -> Kind) {
        if self.shared.reporter.wants(interest) {
            self.tell(kind());
        }
    }

    #[cold]
    fn tell(&self, kind: Kind) {
        if let Some(scene) = &self.scene {
            self.shared.reporter.report(**scene, kind);
        }
    }
}

impl Connection<Socket> {
    /// The connection that was accepted.
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
        Self::new(accepted.socket, shared, scene, Some(accepted.permit))
    }
}

/// Dropping is how a connection is cancelled, so this is where each is counted as closed, once.
impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.sees_stop();
        let reason = match self.reason.get() {
            Some(reason) => reason,
            None if std::thread::panicking() => CloseReason::Panic,
            None if self.is_busy() => CloseReason::Cut,
            None => CloseReason::Done,
        };
        let counters = &self.shared.counters;
        counters.failed(self.in_flight.get().into());
        counters.closed(reason);
        let stop = &self.shared.stop;
        match (self.at_stop.get(), reason) {
            (AtStop::InFlight, CloseReason::Cut) => {
                stop.cut.fetch_add(1, Ordering::Relaxed);
            }
            (AtStop::InFlight, _) => {
                stop.finished.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        // This may be the unwinding of an observer's panic: a second one would end the program.
        let _ = panics::contain(|| self.report(Interest::CLOSED, || Kind::Closed(reason)));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for &Connection<S> {
    // Always: see `Replies::poll_deliver`.
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
    // Always: see `Replies::poll_deliver`.
    #[inline(always)]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        let bytes = ready!(Pin::new(&mut *socket).poll_write(cx, bytes))?;
        self.shared.counters.wrote(bytes as u64);
        self.report(Interest::WROTE, || Kind::Wrote {
            bytes: bytes as u64,
        });
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_shutdown(cx)
    }
}
