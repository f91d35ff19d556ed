//! A network and a clock in memory, so that tests run whole programs without sockets and without waiting. The reactor
//! sees what a [`MemoryPeer`] does at its next turn; time moves when the test moves it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use super::system::{Driver, Ready, Socket};
use super::{Buffers, Core, OpenReactor, Reactor};
use crate::protocol::{Address, Factory, Side};

mod ends;

pub(super) use ends::End;
pub use ends::MemoryPeer;

/// A reactor whose network and time belong to a test.
///
/// ```
/// use callbacks::{MemoryReactor, Protocol, Transport, Address, Factory};
/// use std::rc::Rc;
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
/// impl Factory for Echo {
///     fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
///         Some(Box::new(Echo))
///     }
/// }
///
/// let reactor = MemoryReactor::new();
/// let peer = reactor.accept(&(Rc::new(Echo) as Rc<dyn Factory>));
/// peer.send(b"ahoy");
/// reactor.settle();
/// assert_eq!(peer.received(), b"ahoy");
/// ```
pub struct MemoryReactor {
    open: OpenReactor,
    network: Network,
    buffers: RefCell<Buffers>,
    accepted: Cell<u64>,
}

impl Default for MemoryReactor {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryReactor {
    /// Creates a reactor at time zero, without connections. It counts as running (R3).
    pub fn new() -> Self {
        let network = Network::default();
        let core = Core::new(Driver::Memory(network.clone()));
        core.start();
        Self {
            open: OpenReactor::of(core),
            network,
            buffers: RefCell::new(Buffers::new()),
            accepted: Cell::new(0),
        }
    }

    /// Accepts a connection from a new peer, with a protocol that `factory` builds.
    pub fn accept(&self, factory: &Rc<dyn Factory>) -> MemoryPeer {
        let serial = self.accepted.get();
        self.accepted.set(serial + 1);
        let from = test_address(40_000_u16.wrapping_add(serial as u16));
        let (end, peer) = End::pair(self.network.clone(), from);
        peer.connect_silently();
        let address = Address {
            peer: from,
            side: Side::Accepted { serial },
        };
        self.core().adopt(Socket::Memory(end), address, &**factory);
        self.settle();
        peer
    }

    /// Returns the peers of the connections begun since the last call, none of them answered yet.
    pub fn dialled(&self) -> Vec<MemoryPeer> {
        mem::take(&mut self.network.shared.borrow_mut().dialled)
    }

    /// Runs one turn of the loop, without waiting.
    pub fn turn(&self) {
        let buffers = &mut self.buffers.borrow_mut();
        self.core().turn(buffers, Some(Duration::ZERO));
    }

    // ANCHOR: memory_turns
    /// Runs turns until nothing is left to do at this time, or the reactor stops. A program that keeps calling itself
    /// without delay never settles.
    pub fn settle(&self) {
        let core = self.core();
        while core.is_running() {
            self.turn();
            let is_due = core
                .clock
                .next_due()
                .is_some_and(|due| due <= core.clock.now());
            if !is_due && !core.has_work() && self.network.shared.borrow().ready.is_empty() {
                return;
            }
        }
    }

    /// Moves time by `by` in one step, and settles.
    pub fn advance(&self, by: Duration) {
        self.pass(by);
        self.settle();
    }
    // ANCHOR_END: memory_turns

    /// From now on at most `sockets` connections that were dialled can be open or being made: others are refused a descriptor.
    pub fn limit_sockets(&self, sockets: usize) {
        self.network.shared.borrow_mut().sockets_max = Some(sockets);
    }

    /// From now on no more sockets can be watched, as when Linux's `max_user_watches` is reached.
    #[cfg(test)]
    pub(super) fn refuse_watches(&self) {
        self.network.shared.borrow_mut().refuses_watches = true;
    }

    /// Moves time by `by` without a turn: the reactor still has the time of its last turn.
    pub(super) fn pass(&self, by: Duration) {
        self.network.shared.borrow_mut().now += by;
    }
}

impl Deref for MemoryReactor {
    type Target = Reactor;

    fn deref(&self) -> &Reactor {
        &self.open
    }
}

impl fmt::Debug for MemoryReactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryReactor").finish_non_exhaustive()
    }
}

/// What the sockets in memory share.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    now: Duration,
    ready: VecDeque<Ready>,
    dialled: Vec<MemoryPeer>,
    /// The reactor's ends of connections that were dialled.
    sockets: usize,
    sockets_max: Option<usize>,
    refuses_watches: bool,
}

impl Network {
    pub(super) fn poll(&self, ready: &mut Vec<Ready>) {
        ready.extend(self.shared.borrow_mut().ready.drain(..));
    }

    pub(super) fn now(&self) -> Duration {
        self.shared.borrow().now
    }

    pub(super) fn dial(&self, to: SocketAddr) -> io::Result<End> {
        /// `EMFILE`. `ErrorKind` has no variant for this error.
        const NO_DESCRIPTOR: i32 = 24;
        if !self.has_descriptor() {
            return Err(io::Error::from_raw_os_error(NO_DESCRIPTOR));
        }
        let (end, peer) = End::pair(self.clone(), to);
        let mut shared = self.shared.borrow_mut();
        shared.sockets += 1;
        shared.dialled.push(peer);
        Ok(end.dialled())
    }

    pub(super) fn sockets(&self) -> usize {
        self.shared.borrow().sockets
    }

    pub(super) fn has_descriptor(&self) -> bool {
        let shared = self.shared.borrow();
        shared.sockets_max.is_none_or(|max| shared.sockets < max)
    }
}

fn test_address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[cfg(test)]
mod simulation;
