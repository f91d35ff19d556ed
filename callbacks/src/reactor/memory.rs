//! A network and a clock in memory, so that whole programs run in tests without sockets and without waiting. What a
//! [`Peer`] does is seen by the reactor at its next turn; time moves when the test says so.

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
use super::{Core, OpenReactor, Reactor, Work};
use crate::protocol::{Address, Factory, Side};

/// A reactor whose network and time are a test's.
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
    work: RefCell<Work>,
    accepted: Cell<u64>,
}

impl Default for MemoryReactor {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryReactor {
    /// A reactor at time zero, with no connections. It counts as running (R3).
    pub fn new() -> Self {
        let network = Network::default();
        let core = Core::new(Driver::Memory(network.clone()));
        core.start();
        Self {
            open: OpenReactor::of(core),
            network,
            work: RefCell::new(Work::new()),
            accepted: Cell::new(0),
        }
    }

    /// A peer connects, and is served by what `factory` builds.
    pub fn accept(&self, factory: &Rc<dyn Factory>) -> Peer {
        let serial = self.accepted.get();
        self.accepted.set(serial + 1);
        let end = End::new(
            self.network.clone(),
            test_address(40_000_u16.wrapping_add(serial as u16)),
        );
        end.state.connected.set(true);
        let peer = Peer {
            state: Rc::clone(&end.state),
        };
        let address = Address {
            peer: end.state.peer,
            side: Side::Accepted { serial },
        };
        self.core().adopt(Socket::Memory(end), address, &**factory);
        self.settle();
        peer
    }

    /// The connections that were begun since the last call, each still unanswered.
    pub fn dialled(&self) -> Vec<Peer> {
        mem::take(&mut self.network.shared.borrow_mut().dialled)
    }

    /// Lets the reactor do all that can be done at this time; once it was stopped, nothing. A program that calls itself
    /// later by nothing, again and again, never settles.
    pub fn settle(&self) {
        let core = self.core();
        while core.is_running() {
            core.turn(&mut self.work.borrow_mut(), Some(Duration::ZERO));
            let is_due = core
                .clock
                .next_due()
                .is_some_and(|due| due <= core.clock.now());
            if !is_due && !core.has_work() && self.network.shared.borrow().ready.is_empty() {
                return;
            }
        }
    }

    /// Moves time by `by`, at once, and settles.
    pub fn advance(&self, by: Duration) {
        self.pass(by);
        self.settle();
    }

    /// From now on there is no room to watch one more connection, as with Linux's `max_user_watches` reached.
    #[cfg(test)]
    pub(super) fn watch_nobody_else(&self) {
        self.network.shared.borrow_mut().watches_nobody_else = true;
    }

    /// Moves time by `by`; the reactor does not know yet.
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

/// What the sockets in memory have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    now: Duration,
    ready: VecDeque<Ready>,
    dialled: Vec<Peer>,
    watches_nobody_else: bool,
}

impl Network {
    pub(super) fn poll(&self, ready: &mut Vec<Ready>) {
        ready.extend(self.shared.borrow_mut().ready.drain(..));
    }

    pub(super) fn now(&self) -> Duration {
        self.shared.borrow().now
    }

    pub(super) fn dial(&self, peer: SocketAddr) -> End {
        let end = End::new(self.clone(), peer);
        self.shared.borrow_mut().dialled.push(Peer {
            state: Rc::clone(&end.state),
        });
        end
    }
}

/// The reactor's end of a connection in memory.
#[derive(Debug)]
pub(super) struct End {
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    network: Network,
    peer: SocketAddr,
    token: Cell<Option<usize>>,
    connected: Cell<bool>,
    error: Cell<Option<io::ErrorKind>>,
    to_reactor: RefCell<VecDeque<u8>>,
    peer_finished: Cell<bool>,
    to_peer: RefCell<Vec<u8>>,
    room: Cell<usize>,
    finished: Cell<bool>,
    closed: Cell<bool>,
}

impl State {
    /// Tells the reactor, if that watches, what can be done with its end.
    fn announce(&self) {
        if let Some(token) = self.token.get() {
            let ended = self.peer_finished.get() || self.error_kind().is_some();
            let ready = Ready {
                token,
                readable: !self.to_reactor.borrow().is_empty() || ended,
                writable: self.connected.get() || ended,
                ended,
            };
            self.network.shared.borrow_mut().ready.push_back(ready);
        }
    }

    fn error_kind(&self) -> Option<io::ErrorKind> {
        self.error.get()
    }

    fn check(&self) -> io::Result<()> {
        self.error_kind().map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl End {
    fn new(network: Network, peer: SocketAddr) -> Self {
        Self {
            state: Rc::new(State {
                network,
                peer,
                token: Cell::default(),
                connected: Cell::default(),
                error: Cell::default(),
                to_reactor: RefCell::default(),
                peer_finished: Cell::default(),
                to_peer: RefCell::default(),
                room: Cell::new(usize::MAX),
                finished: Cell::default(),
                closed: Cell::default(),
            }),
        }
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state.check()?;
        let mut waiting = self.state.to_reactor.borrow_mut();
        if waiting.is_empty() && !self.state.peer_finished.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = waiting.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(waiting.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.state.check()?;
        let room = self.state.room.get();
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(room);
        if room != usize::MAX {
            self.state.room.set(room - count);
        }
        self.state
            .to_peer
            .borrow_mut()
            .extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    pub(super) fn finish(&self) {
        self.state.finished.set(true);
    }

    pub(super) fn local(&self) -> SocketAddr {
        test_address(1)
    }

    pub(super) fn is_connected(&self) -> io::Result<bool> {
        self.state.check().map(|()| self.state.connected.get())
    }

    pub(super) fn register(&self, token: usize) -> io::Result<()> {
        if self.state.network.shared.borrow().watches_nobody_else {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.state.token.set(Some(token));
        // What has happened before it was watched is announced now, as by the kernel.
        if self.state.connected.get() || self.state.error_kind().is_some() {
            self.state.announce();
        }
        Ok(())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.state.closed.set(true);
    }
}

/// The test's end of a connection in memory. Clones are the same end.
#[derive(Debug, Clone)]
pub struct Peer {
    state: Rc<State>,
}

impl Peer {
    /// The address that was dialled, or that this peer connected from.
    pub fn address(&self) -> SocketAddr {
        self.state.peer
    }

    /// Accepts the connection that was dialled.
    pub fn accept(&self) {
        self.state.connected.set(true);
        self.state.announce();
    }

    /// Accepts it, but the word of that is still on its way, as after a turn that saw more than it could take.
    #[cfg(test)]
    pub(super) fn accept_unheard(&self) {
        self.state.connected.set(true);
    }

    /// Refuses, or resets, the connection with an error of this kind.
    pub fn fail(&self, kind: io::ErrorKind) {
        self.state.error.set(Some(kind));
        self.state.announce();
    }

    /// Sends `bytes`.
    pub fn send(&self, bytes: &[u8]) {
        self.state.to_reactor.borrow_mut().extend(bytes);
        self.state.announce();
    }

    /// Finishes sending: FIN.
    pub fn finish(&self) {
        self.state.peer_finished.set(true);
        self.state.announce();
    }

    /// Takes `room` bytes more, which is too little for the reactor to be told of it: a kernel announces room when a good
    /// part of its buffer is free.
    pub fn take_unannounced(&self, room: usize) {
        self.state.room.set(room);
    }

    /// Takes `room` bytes more from now on, and then none. At first there is room for everything.
    pub fn limit_room(&self, room: usize) {
        self.state.room.set(room);
        if room > 0 {
            self.state.announce();
        }
    }

    /// What has come since the last call.
    pub fn received(&self) -> Vec<u8> {
        mem::take(&mut self.state.to_peer.borrow_mut())
    }

    /// Whether FIN has come; it is the end of what was received.
    pub fn sees_fin(&self) -> bool {
        self.state.finished.get() || self.state.closed.get()
    }

    /// Whether the reactor's socket is closed.
    pub fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// Bytes sent that the reactor has not read.
    pub fn unread(&self) -> usize {
        self.state.to_reactor.borrow().len()
    }
}

fn test_address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
