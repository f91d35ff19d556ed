//! The reactor: one thread, one loop, everything else is called back. Here are the handles that programs hold; the loop
//! is in `core.rs`, the sockets' side in `connection.rs`, `port.rs`, `threads.rs` and `lifecycle.rs` beside it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use self::core::{Core, Work, nanos};
use self::system::{Driver, Listener, System};
use crate::protocol::{Address, Factory, Side};
use crate::timers::{Clock, DelayedCall};

mod connection;
mod core;
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
