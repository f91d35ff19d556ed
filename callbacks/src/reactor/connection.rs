//! A connection: its socket, its protocol, its unsent bytes and its timeout. All state is in cells, so a callback may use
//! any transport; what has to wait is done when the call has returned. `connection/` holds the details of each part.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;

use super::Core;
use super::system::{Ready, Socket};
use crate::protocol::{Factory, Producer, Protocol};

mod api;
mod closing;
mod connecting;
mod receiving;
mod sending;
mod timeouts;

use timeouts::NEVER;
pub(crate) use timeouts::Waits;

/// A protocol's handle to its connection. Clones are the same connection. Once the connection is closed, writes are
/// ignored.
#[derive(Clone)]
pub struct Transport(Rc<Connection>);

/// Small, because most connections are idle most of the time: what only a busy one needs is in [`Extra`].
struct Connection {
    core: Rc<Core>,
    token: usize,
    /// Taken out while it is called.
    protocol: Cell<Option<Box<dyn Protocol>>>,
    socket: Cell<Option<Socket>>,
    extra: Cell<Option<Box<Extra>>>,
    /// When `timeout_connection` is called, in the core's nanoseconds.
    deadline: Cell<u64>,
    /// When the core next checks `deadline`: never later than it, often earlier, so that moving a deadline is one store.
    next_check: Cell<u64>,
    peer: PeerAddress,
    /// Whether a port accepted it; else this end initiated it.
    accepted: bool,
    phase: Cell<Phase>,
    input: Cell<Input>,
    /// Whether the protocol has paused reading.
    paused: Cell<bool>,
    /// Whether [`Extra::kept`] holds bytes that were read and wait for the next turn (S24).
    keeps_bytes: Cell<bool>,
    /// Whether bytes or an offer wait for room in the kernel.
    blocked: Cell<bool>,
    /// Whether the kernel announces room; most connections never need it.
    watches_room: Cell<bool>,
    /// Whether the kernel has taken bytes since the last write timeout (S18).
    made_progress: Cell<bool>,
    in_call: Cell<bool>,
    /// Whether the connection waits for its turn in the next round.
    queued: Cell<bool>,
    /// Whether writing has failed, so that only what has arrived is still read.
    output_lost: Cell<bool>,
    /// Whether FIN follows whatever is written.
    sends_with_fin: Cell<bool>,
    /// Whether FIN was sent, so that everything written had been taken.
    fin_sent: Cell<bool>,
    /// Whether `woken` must be called in the next turn.
    woken: Cell<bool>,
    /// Whether `shut_down` must be called once the current call has returned.
    shutdown_due: Cell<bool>,
}

/// How far a connection has come. A phase is never followed by an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Connecting,
    Open,
    /// FIN goes out once everything written has been taken.
    FinPending,
    FinSent,
    /// Closes once everything written has been taken.
    Losing,
    /// Closes as soon as no call runs.
    Aborted,
    Closed,
}

/// What the next read will find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Nothing; the kernel announces the next byte, or FIN.
    Drained,
    Readable,
    /// Perhaps bytes, and then the end of the stream or an error.
    Ending,
    /// The end of the stream has been read.
    Ended,
}

/// What only a busy connection needs.
#[derive(Default)]
struct Extra {
    unsent: Vec<u8>,
    /// Bytes of `unsent` that the kernel has taken.
    sent: usize,
    producer: Option<Rc<dyn Producer>>,
    producer_paused: bool,
    /// Bytes for the next turn, from `kept_from` on.
    kept: Vec<u8>,
    kept_from: usize,
    /// The factory of a connection that is being made.
    factory: Option<Rc<dyn Factory>>,
    error: Option<io::Error>,
}

/// A `SocketAddr` in half the memory; only IPv6 allocates.
enum PeerAddress {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

/// What the core calls.
impl Transport {
    fn new(core: &Rc<Core>, socket: Socket, token: usize, peer: SocketAddr, phase: Phase) -> Self {
        let peer = match peer {
            SocketAddr::V4(address) => PeerAddress::V4(address),
            SocketAddr::V6(address) => PeerAddress::V6(Box::new(address)),
        };
        Self(Rc::new(Connection {
            core: Rc::clone(core),
            token,
            protocol: Cell::new(None),
            socket: Cell::new(Some(socket)),
            extra: Cell::new(None),
            deadline: Cell::new(NEVER),
            next_check: Cell::new(NEVER),
            peer,
            accepted: phase == Phase::Open,
            phase: Cell::new(phase),
            input: Cell::new(Input::Drained),
            paused: Cell::new(false),
            keeps_bytes: Cell::new(false),
            blocked: Cell::new(false),
            watches_room: Cell::new(false),
            made_progress: Cell::new(false),
            in_call: Cell::new(false),
            queued: Cell::new(false),
            output_lost: Cell::new(false),
            sends_with_fin: Cell::new(false),
            fin_sent: Cell::new(false),
            woken: Cell::new(false),
            shutdown_due: Cell::new(false),
        }))
    }

    /// Adds an accepted connection and calls its protocol. If the socket cannot be watched, the connection breaks at once.
    pub(super) fn establish(
        core: &Rc<Core>,
        mut socket: Socket,
        peer: SocketAddr,
        protocol: Box<dyn Protocol>,
    ) {
        let mut watched = Ok(());
        let transport = core.connections.borrow_mut().insert_with(|token| {
            watched = core.driver.register(&mut socket, token, false);
            Self::new(core, socket, token, peer, Phase::Open)
        });
        transport.0.protocol.set(Some(protocol));
        core.calling(transport.token(), || {
            transport.call(|protocol, transport| protocol.connection_made(transport));
        });
        if let Err(error) = watched {
            transport.break_down(error);
        }
        transport.finish_up();
    }

    /// Handles readiness that the kernel has announced. A connection that waits for its turn in the round reads there: it
    /// must not have two turns (S24).
    #[inline]
    pub(super) fn ready(&self, ready: Ready, buffer: &mut [u8]) {
        if self.phase() == Phase::Connecting {
            self.check_connected();
            // Input that has already arrived is announced only this once, so it is read below.
            if matches!(self.phase(), Phase::Connecting | Phase::Closed) {
                return;
            }
        }
        if ready.writable && self.is_blocked() {
            self.flush();
        }
        if ready.readable || ready.ended {
            self.input_announced(ready.ended);
            if !self.0.queued.get() {
                self.read(buffer);
            }
        }
        self.finish_up();
    }

    /// This connection's turn in a round.
    pub(super) fn take_turn(&self, buffer: &mut [u8]) {
        self.0.queued.set(false);
        if self.0.woken.take() {
            self.call(|protocol, transport| protocol.woken(transport));
        }
        if self.0.keeps_bytes.get() {
            self.handle_kept();
        } else if self.0.input.get() != Input::Drained {
            self.read(buffer);
        }
        self.finish_up();
    }

    /// Calls the protocol's `shut_down` (S21), after the current call if one runs.
    pub(super) fn shut_down(&self) {
        if self.0.in_call.get() {
            self.0.shutdown_due.set(true);
        } else {
            self.call(|protocol, transport| protocol.shut_down(transport));
            self.finish_up();
        }
    }

    /// Calls the protocol, which is taken out meanwhile: no other call reaches it before this one returns.
    #[inline(always)] // On the hot path once; measured.
    fn call(&self, call: impl FnOnce(&mut dyn Protocol, &Self)) {
        let Some(mut protocol) = self.0.protocol.take() else {
            return;
        };
        self.0.in_call.set(true);
        call(&mut *protocol, self);
        self.0.in_call.set(false);
        self.0.protocol.set(Some(protocol));
    }

    /// Asks for a turn in the next round, unless a call runs: [`finish_up`](Self::finish_up) follows that.
    fn request_turn(&self) {
        if !self.0.in_call.get() {
            self.queue();
        }
    }

    fn queue(&self) {
        if self.phase() != Phase::Closed && !self.0.queued.replace(true) {
            self.0.core.round.borrow_mut().push_back(self.clone());
        }
    }

    fn with_extra<T>(&self, act: impl FnOnce(&mut Extra) -> T) -> T {
        let mut extra = self.0.extra.take().unwrap_or_default();
        let result = act(&mut extra);
        self.0.extra.set(Some(extra));
        result
    }

    fn drop_idle_extra(&self) {
        let extra = self.0.extra.take();
        self.0.extra.set(extra.filter(|extra| {
            !extra.unsent.is_empty()
                || !extra.kept.is_empty()
                || extra.producer.is_some()
                || extra.factory.is_some()
                || extra.error.is_some()
        }));
    }

    #[inline]
    fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Whether bytes may be written.
    #[inline]
    fn takes_output(&self) -> bool {
        self.phase() == Phase::Open && !self.0.output_lost.get()
    }

    /// Moves on to `phase`, unless the connection has come further already.
    #[inline]
    fn advance_to(&self, phase: Phase) {
        self.0.phase.set(self.phase().max(phase));
    }
}

impl Transport {
    #[inline]
    pub(super) fn token(&self) -> usize {
        self.0.token
    }

    /// Whether a port accepted this connection.
    pub(super) fn is_accepted(&self) -> bool {
        self.0.accepted
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transport")
            .field("peer", &self.peer())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
