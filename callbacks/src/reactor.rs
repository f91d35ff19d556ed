//! The reactor: one thread, one loop, everything else is called back. Here are the handle that programs hold and the
//! loop itself; the sockets' side is in the folder: `connection.rs`, `port.rs`, `threads.rs`, `lifecycle.rs`.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use poetry::limits::READ_BUFFER_BYTES;
use poetry::panics;

use self::lifecycle::Lifecycle;
use self::port::Ports;
use self::slots::Slots;
use self::system::{Driver, Listener, Ready, Socket, System, WAKE};
use self::threads::{Inlets, Mailbox};
use crate::log::{self, Trouble};
use crate::protocol::{Address, Factory, Lost, Side};
use crate::timers::{Clock, DelayedCall};

mod connection;
mod lifecycle;
mod memory;
mod port;
mod slots;
mod system;
mod threads;

pub use connection::Transport;
pub use lifecycle::{AlreadyRunning, NotRunning, Phase};
pub use memory::{MemoryReactor, Peer};
pub use port::{Acceptor, Port};
pub use system::Accepted;
pub use threads::{Inlet, RemoteReactor};

/// A handle to a reactor, for everybody in its thread. Clones are the same reactor.
///
/// It is made by [`Reactor::open`], and lives as long as the [`OpenReactor`] that this returns: what is asked of it
/// afterwards does not happen.
#[derive(Clone)]
pub struct Reactor {
    core: Rc<Core>,
}

/// Owns what its [`Reactor`] handles refer to, and runs it. When this is dropped, so are its sockets, calls and
/// protocols, whoever else holds a handle: no cycle keeps a socket open.
pub struct OpenReactor {
    reactor: Reactor,
}

impl Reactor {
    /// A reactor of its own, with the system's sockets and clock.
    ///
    /// # Errors
    /// The system has no descriptor for it.
    pub fn open() -> io::Result<OpenReactor> {
        let driver = Driver::System(System::new()?);
        Ok(OpenReactor::of(Core::new(driver)))
    }

    /// The reactor's time, and its delayed calls.
    pub fn clock(&self) -> &Clock {
        &self.core.clock
    }

    /// [`Clock::call_later`] on the reactor's clock.
    pub fn call_later(&self, delay: Duration, action: impl FnOnce() + 'static) -> DelayedCall {
        self.core.clock.call_later(delay, action)
    }

    /// Accepts connections from `listener`; each gets a protocol from `factory`.
    ///
    /// # Errors
    /// The system does not let us watch the listener.
    pub fn listen_tcp(
        &self,
        listener: std::net::TcpListener,
        factory: Rc<dyn Factory>,
    ) -> io::Result<Port> {
        self.listen_with(listener, Rc::new(port::Here(factory)))
    }

    /// Accepts connections from `listener` as `acceptor` says.
    ///
    /// # Errors
    /// The system does not let us watch the listener.
    pub fn listen_with(
        &self,
        listener: std::net::TcpListener,
        acceptor: Rc<dyn Acceptor>,
    ) -> io::Result<Port> {
        Port::open(&self.core, Listener::new(listener)?, acceptor)
    }

    /// Serves a connection that some port, perhaps in another thread, has accepted.
    pub fn adopt(&self, accepted: Accepted, factory: &dyn Factory) {
        if self.core.is_closed() {
            return;
        }
        let Accepted {
            stream,
            peer,
            serial,
        } = accepted;
        let side = Side::Accepted { serial };
        self.core
            .adopt(stream.into(), Address { peer, side }, factory);
    }

    /// Connects to `peer` within `timeout`, counted from now and not from the beginning of this turn, in which much may
    /// have been begun. `factory` builds the protocol, or is told that the connection failed, in a later turn; aborting
    /// the returned transport gives up without telling it.
    pub fn connect_tcp(
        &self,
        peer: SocketAddr,
        timeout: Duration,
        factory: Rc<dyn Factory>,
    ) -> Option<Transport> {
        if self.core.is_closed() {
            return None;
        }
        let address = Address {
            peer,
            side: Side::Initiated,
        };
        match self.core.driver.connect(peer) {
            Ok(socket) => {
                let transport = Transport::dial(&self.core, socket, address, factory);
                let turn = self.core.driver.now().saturating_sub(transport.now());
                transport.set_timeout(Some(timeout.saturating_add(turn)));
                Some(transport)
            }
            Err(error) => {
                self.call_later(Duration::ZERO, move || {
                    factory.connection_failed(peer, error)
                });
                None
            }
        }
    }

    /// Tells every connection to finish what is in flight and to end ([`crate::Protocol::shut_down`]).
    pub fn shut_down_connections(&self) {
        for transport in self.core.transports() {
            self.core
                .calling(transport.token(), || transport.shut_down());
        }
    }

    /// Aborts every connection.
    pub fn abort_connections(&self) {
        for transport in self.core.transports() {
            transport.abort_connection();
        }
    }

    /// Connections there are, those that are being made too.
    pub fn connections(&self) -> usize {
        self.core.connections.borrow().len()
    }

    fn core(&self) -> &Rc<Core> {
        &self.core
    }
}

impl OpenReactor {
    fn of(core: Rc<Core>) -> Self {
        Self {
            reactor: Reactor { core },
        }
    }

    /// Runs the loop until [`Reactor::stop`]. Then the shutdown triggers run (R5); connections still there are aborted
    /// among those of the phase in between. Ports stay, and are served again when this is called again.
    ///
    /// ```
    /// use callbacks::{AlreadyRunning, Reactor};
    /// use std::rc::Rc;
    ///
    /// let reactor = Rc::new(Reactor::open()?);
    /// let inside = Rc::downgrade(&reactor);
    /// reactor.call_when_running(move || {
    ///     let reactor = inside.upgrade().unwrap();
    ///     assert_eq!(reactor.run(), Err(AlreadyRunning));
    ///     reactor.stop().unwrap();
    /// });
    /// assert_eq!(reactor.run(), Ok(()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// It runs already (R6).
    pub fn run(&self) -> Result<(), AlreadyRunning> {
        let core = &self.reactor.core;
        if !core.start() {
            return Err(AlreadyRunning);
        }
        let mut work = Work::new();
        while core.is_running() {
            core.turn(&mut work, None);
        }
        Ok(())
    }
}

impl Deref for OpenReactor {
    type Target = Reactor;

    fn deref(&self) -> &Reactor {
        &self.reactor
    }
}

impl Drop for OpenReactor {
    fn drop(&mut self) {
        self.reactor.core.close();
    }
}

/// What the handles share.
pub(crate) struct Core {
    clock: Clock,
    driver: Driver,
    /// The clock's time in nanoseconds, for what must not cost anything.
    now: Cell<u64>,
    connections: RefCell<Slots<Transport>>,
    ports: Ports,
    /// Functions that other threads call, by number.
    inlets: RefCell<Inlets>,
    /// Connections that this turn has begun: see [`Core::watch_begun`].
    unwatched: RefCell<Vec<Transport>>,
    /// Connections that were lost, broken or resumed out of turn.
    attention: RefCell<Vec<Transport>>,
    /// When to look at which connection's timeout; see [`Transport::set_timeout`].
    timeouts: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    /// The connection whose protocol is being called: if that panics, it is the one to go (R4).
    current: Cell<usize>,
    lifecycle: Lifecycle,
    mailbox: Mailbox,
    /// Whether its owner is gone: nothing begins any more.
    closed: Cell<bool>,
}

/// Dead timeouts that are not worth a clean-up.
const DEAD_TIMEOUTS_MAX: usize = 256;

/// What one loop reuses from turn to turn.
pub(super) struct Work {
    ready: Vec<Ready>,
    next: usize,
    round: Vec<Transport>,
    buffer: Box<[u8]>,
}

impl Work {
    fn new() -> Self {
        Self {
            ready: Vec::new(),
            next: 0,
            round: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
        }
    }
}

impl Core {
    fn new(driver: Driver) -> Rc<Self> {
        let mailbox = Mailbox::new(driver.wake());
        Rc::new(Self {
            clock: Clock::with_source(driver.clock()),
            driver,
            now: Cell::new(0),
            connections: RefCell::default(),
            ports: Ports::default(),
            inlets: RefCell::default(),
            unwatched: RefCell::default(),
            attention: RefCell::default(),
            timeouts: RefCell::default(),
            current: Cell::new(WAKE),
            lifecycle: Lifecycle::default(),
            mailbox,
            closed: Cell::new(false),
        })
    }

    /// One turn: watch what was begun, wait, tell the time, then run calls from threads, and call back what became ready, what asked for
    /// attention, and what is due. `wait` bounds the waiting.
    fn turn(self: &Rc<Self>, work: &mut Work, wait: Option<Duration>) {
        work.ready.clear();
        work.next = 0;
        self.watch_begun();
        let wait = self.patience().into_iter().chain(wait).min();
        self.driver.poll(wait, &mut work.ready);
        self.tell_time();
        // First: what another thread asked for before it sent something comes before that is read.
        self.mailbox.run(self);
        self.contained(|| self.call_ready(work));
        mem::swap(&mut *self.attention.borrow_mut(), &mut work.round);
        self.contained(|| self.call_attentive(work));
        self.clock.run_due();
        self.contained(|| self.call_timed_out());
        if self.lifecycle.turn() {
            self.wind_up();
        }
    }

    /// The end of a run: nothing is accepted, read or due any more.
    fn wind_up(&self) {
        self.lifecycle.run_phase(Phase::During);
        for transport in self.transports() {
            self.calling(transport.token(), || transport.end_with_run());
        }
        // What those who were told of their end have begun is for nobody.
        self.close_connections();
        self.lifecycle.run_phase(Phase::After);
        self.lifecycle.end();
    }

    /// Closes every connection; those still being made without a word.
    fn close_connections(&self) {
        while self.connections.borrow().len() > 0 {
            for transport in self.transports() {
                self.calling(transport.token(), || transport.close(Lost::Aborted));
            }
        }
    }

    /// Has the kernel watch the connections begun since this was called last. Not when each is begun: of many begun in one
    /// turn the last is begun sooner so, and it is the last to end.
    fn watch_begun(&self) {
        for transport in self.unwatched.take() {
            self.calling(transport.token(), || transport.watch());
        }
    }

    /// How long the loop may wait: not at all if there is work, for ever if nothing is due.
    fn patience(&self) -> Option<Duration> {
        if self.has_work() {
            return Some(Duration::ZERO);
        }
        let call = self.clock.next_due();
        let timeout = self
            .timeouts
            .borrow()
            .peek()
            .map(|Reverse((due, _))| Duration::from_nanos(*due));
        let next = call.into_iter().chain(timeout).min()?;
        // Not the turn's time: callbacks may have taken long.
        Some(next.saturating_sub(self.driver.now()))
    }

    fn has_work(&self) -> bool {
        !self.attention.borrow().is_empty()
            || !self.unwatched.borrow().is_empty()
            || self.mailbox.has_mail()
            || self.lifecycle.is_stopping()
    }

    fn tell_time(&self) {
        let now = self.driver.now();
        self.now.set(nanos(now));
        self.clock.set(now);
    }

    /// Runs `call`, which concerns the connection of `token`: a panic costs that one (R4), and not the one in whose call
    /// this may be. `call` is then made again, and must find nothing left to do.
    fn calling(&self, token: usize, call: impl FnMut()) {
        let outer = self.current.replace(token);
        self.contained(call);
        self.current.set(outer);
    }

    /// Runs `calls`, again and again until it comes through: a panic costs the current connection (R4).
    fn contained(&self, mut calls: impl FnMut()) {
        while let Err(message) = panics::contain(&mut calls) {
            log::report(Trouble::Panicked { message });
            let current = self.connections.borrow().get(self.current.replace(WAKE));
            if let Some(transport) = current {
                // Its protocol may panic over that, too; it is closed all the same.
                log::contained(|| transport.give_up());
            }
        }
    }

    fn call_ready(self: &Rc<Self>, work: &mut Work) {
        while let Some(&ready) = work.ready.get(work.next) {
            work.next += 1;
            if ready.token == WAKE {
                continue;
            }
            self.current.set(ready.token);
            // A statement of its own: what is called must find the connections free.
            let transport = self.connections.borrow().get(ready.token);
            match transport {
                Some(transport) => transport.ready(ready, &mut work.buffer),
                None => self.ports.ready(ready.token),
            }
        }
    }

    fn call_attentive(&self, work: &mut Work) {
        while let Some(transport) = work.round.pop() {
            self.current.set(transport.token());
            transport.attend(&mut work.buffer);
        }
    }

    fn call_timed_out(&self) {
        let now = self.now.get();
        while let Some((due, token)) = self.pop_timeout(now) {
            let transport = self.connections.borrow().get(token);
            if let Some(transport) = transport {
                self.current.set(token);
                transport.check_timeout(due, now);
            }
        }
    }

    /// Drops the timeouts of connections that are gone, and those that were replaced, once they outnumber the rest: a
    /// connection that lives for a moment must not leave something behind for a minute.
    fn clean_up_timeouts(&self) {
        let mut timeouts = self.timeouts.borrow_mut();
        let connections = self.connections.borrow();
        if timeouts.len() > 3 * connections.len() + DEAD_TIMEOUTS_MAX {
            timeouts.retain(|&Reverse((due, token))| {
                let transport = connections.get(token);
                transport.is_some_and(|transport| transport.is_looked_at(due))
            });
        }
    }

    fn pop_timeout(&self, now: u64) -> Option<(u64, usize)> {
        let mut timeouts = self.timeouts.borrow_mut();
        let &Reverse((due, _)) = timeouts.peek()?;
        if due > now {
            return None;
        }
        timeouts.pop().map(|Reverse(entry)| entry)
    }

    fn adopt(self: &Rc<Self>, mut socket: Socket, address: Address, factory: &dyn Factory) {
        let Some(protocol) = factory.build_protocol(&address) else {
            return;
        };
        let token = self.connections.borrow_mut().reserve();
        let watched = self.driver.register(&mut socket, token, false);
        Transport::establish(self, socket, token, address.peer, protocol, watched);
    }

    fn transports(&self) -> Vec<Transport> {
        self.connections.borrow().iter().collect()
    }

    /// Drops everything that may hold a handle to this, and takes in nothing any more.
    fn close(&self) {
        self.closed.set(true);
        self.clock.stop();
        self.ports.clear();
        drop(self.inlets.take());
        self.lifecycle.clear();
        self.mailbox.close();
        self.close_connections();
        self.attention.borrow_mut().clear();
        self.unwatched.borrow_mut().clear();
    }

    /// Whether what is asked of this does not happen any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// As nanoseconds; the clock starts at zero, so the limit is 584 years away.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(time.subsec_nanos()))
}

impl fmt::Debug for Reactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reactor")
            .field("connections", &self.connections())
            .field("clock", &self.core.clock)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenReactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reactor.fmt(out)
    }
}

#[cfg(test)]
mod tests;
