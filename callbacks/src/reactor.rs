//! The reactor: one thread runs one loop, and the loop calls everything else. This file has the handles that programs
//! hold; `core.rs` has the loop, and `connection.rs`, `port.rs`, `threads.rs` and `lifecycle.rs` what it serves.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use poetry::error::is_short_of_descriptors;

use self::core::{Buffers, Core, nanos};
use self::system::{Driver, Listener, System};
use crate::protocol::{Address, Factory, Side};
use crate::timers::{Clock, DelayedCall};

mod connection;
mod connections;
mod core;
mod descriptors;
mod lifecycle;
mod memory;
mod port;
mod system;
mod threads;
mod wake;

pub use connection::Transport;
pub(crate) use connection::Waits;
pub use lifecycle::{AlreadyRunning, NotRunning, Phase};
pub use memory::{MemoryPeer, MemoryReactor};
pub use port::{Acceptor, Port};
pub use system::Accepted;
pub(crate) use system::{Group, SelfConnected};
pub use threads::{Inlet, RemoteReactor};

/// A handle to a reactor, for use in its thread. Clones are the same reactor.
///
/// [`Reactor::open`] creates the reactor and its [`OpenReactor`]. Once that is dropped, calls on a handle do nothing.
#[derive(Clone)]
pub struct Reactor {
    core: Rc<Core>,
}

/// Owns a reactor and runs it. Dropping this drops the reactor's sockets, calls and protocols, whatever handles are left:
/// no cycle of handles keeps a socket open.
pub struct OpenReactor {
    reactor: Reactor,
}

impl Reactor {
    /// Creates a reactor with the system's sockets and clock.
    ///
    /// # Errors
    /// Fails if the system has no descriptor for it.
    pub fn open() -> io::Result<OpenReactor> {
        Self::open_in(&Group::default())
    }

    /// As [`open`](Self::open), for one of the reactors of `group`.
    pub(crate) fn open_in(group: &Group) -> io::Result<OpenReactor> {
        let driver = Driver::System(System::new(group)?);
        Ok(OpenReactor::of(Core::new(driver)))
    }

    /// Returns the reactor's clock, which has its time and its delayed calls.
    pub fn clock(&self) -> &Clock {
        &self.core.clock
    }

    /// [`Clock::call_later`] on the reactor's clock.
    pub fn call_later<F: FnOnce() + 'static>(&self, delay: Duration, action: F) -> DelayedCall {
        self.core.clock.call_later(delay, action)
    }

    /// Accepts connections from `listener`; `factory` builds a protocol for each.
    ///
    /// # Errors
    /// Fails if the system cannot watch the listener.
    pub fn listen_tcp(
        &self,
        listener: std::net::TcpListener,
        factory: Rc<dyn Factory>,
    ) -> io::Result<Port> {
        self.listen_with(listener, Rc::new(port::ServesHere(factory)))
    }

    /// Accepts connections from `listener` and gives them to `acceptor`.
    ///
    /// # Errors
    /// Fails if the system cannot watch the listener.
    pub fn listen_with(
        &self,
        listener: std::net::TcpListener,
        acceptor: Rc<dyn Acceptor>,
    ) -> io::Result<Port> {
        Port::open(&self.core, Listener::new(listener)?, acceptor)
    }

    /// Serves a connection that a port, perhaps of another thread, has accepted.
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

    /// Connects to `peer` within `timeout` from now. In a later turn the reactor calls `factory`, either to build the protocol
    /// or because the connection failed. Aborting the returned transport gives up without that call.
    ///
    /// Returns `None` if the system refused to begin, which `factory` also learns in a later turn, or if this reactor is
    /// gone, which it does not.
    pub fn connect_tcp(
        &self,
        peer: SocketAddr,
        timeout: Duration,
        factory: Rc<dyn Factory>,
    ) -> Option<Transport> {
        match self.begin_tcp(peer, timeout, Rc::clone(&factory)) {
            Ok(transport) => transport,
            Err(error) => {
                self.call_later(Duration::ZERO, move || {
                    factory.connection_failed(peer, error)
                });
                None
            }
        }
    }

    /// As [`connect_tcp`](Self::connect_tcp), but returns the error if the system refused to begin.
    pub(crate) fn begin_tcp(
        &self,
        peer: SocketAddr,
        timeout: Duration,
        factory: Rc<dyn Factory>,
    ) -> io::Result<Option<Transport>> {
        if self.core.is_closed() {
            return Ok(None);
        }
        let address = Address {
            peer,
            side: Side::Initiated,
        };
        let socket = match self.core.driver.connect(peer) {
            Err(error) if is_short_of_descriptors(&error) && self.core.descriptors.free_spare() => {
                self.core.driver.connect(peer)?
            }
            socket => socket?,
        };
        let transport = Transport::dial(&self.core, socket, address, factory);
        // Timeouts count from the start of the turn, and this turn may have taken long.
        let turn = self.core.driver.now().saturating_sub(transport.now());
        transport.set_timeout(Some(timeout.saturating_add(turn)));
        Ok(Some(transport))
    }

    /// Calls [`Protocol::shut_down`](crate::Protocol::shut_down) for every connection that a port accepted. Those that this
    /// end initiated go on, since accepted ones may need them.
    pub fn shut_down_connections(&self) {
        for transport in self.accepted_connections() {
            self.core
                .calling(transport.token(), || transport.shut_down());
        }
    }

    /// Aborts every connection that a port accepted.
    pub fn abort_connections(&self) {
        for transport in self.accepted_connections() {
            transport.abort_connection();
        }
    }

    fn accepted_connections(&self) -> Vec<Transport> {
        let mut transports = self.core.transports();
        transports.retain(Transport::is_accepted);
        transports
    }

    /// Returns what its connections wait for, in no order. It asks every protocol.
    pub(crate) fn waits(&self) -> impl Iterator<Item = Waits> {
        let transports = self.core.transports();
        transports.into_iter().map(|transport| transport.waits())
    }

    /// Returns the number of connections, including those being made.
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

    /// Runs the loop until [`Reactor::stop`], and then the shutdown triggers (R5). Connections still open are aborted after
    /// the triggers of [`Phase::During`]. Ports stay, and accept again when `run` is called again (which Twisted's cannot be).
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
    /// Fails if the reactor is already running (R6).
    pub fn run(&self) -> Result<(), AlreadyRunning> {
        let core = &self.reactor.core;
        if !core.start() {
            return Err(AlreadyRunning);
        }
        let mut buffers = Buffers::new();
        while core.is_running() {
            core.turn(&mut buffers, None);
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
