//! The limit on connections (S16): a port accepts only while there is room, and resumes when a connection closes.

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use poetry::Kind;

use crate::protocol::Factory;
use crate::reactor::{Accepted, Acceptor, Inlet, Port, Reactor, RemoteReactor};
use crate::server_state::ServerState;

/// How many connections a server holds in all its reactors (S16).
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max: usize,
    open: AtomicUsize,
    /// Whether a port is paused until a connection closes.
    port_waits: AtomicBool,
    /// The reactor of that port.
    accepting: OnceLock<RemoteReactor>,
}

impl ConnectionLimit {
    /// At most `max` connections at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: AtomicUsize::new(0),
            port_waits: AtomicBool::new(false),
            accepting: OnceLock::new(),
        })
    }

    /// Returns whether there is room for one more connection. If not, the port is resumed as soon as one closes.
    fn has_room(&self) -> bool {
        if self.open.load(Ordering::SeqCst) < self.max {
            return true;
        }
        self.port_waits.store(true, Ordering::SeqCst);
        // A connection may have closed between the two.
        self.open.load(Ordering::SeqCst) < self.max
    }

    pub(crate) fn connection_opened(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn connection_closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
        if self.port_waits.swap(false, Ordering::SeqCst)
            && let Some(accepting) = self.accepting.get()
        {
            // It fails if the reactor is gone, and its port with it.
            let _ = accepting.call_from_thread(|reactor| reactor.resume_ports());
        }
    }
}

/// Accepts connections while the limit has room, and deals them in turn to this reactor and to the helpers.
pub(crate) struct LimitedAcceptor {
    factory: Rc<dyn Factory>,
    state: Rc<ServerState>,
    /// Reactors of other threads.
    helpers: Vec<Inlet<Accepted>>,
    next: Cell<usize>,
}

impl LimitedAcceptor {
    /// Accepts connections from `listener` in `reactor`. The first connection stays here, the second goes to the first of
    /// `helpers`, and so on.
    pub(crate) fn listen(
        reactor: &Reactor,
        listener: TcpListener,
        factory: Rc<dyn Factory>,
        state: &Rc<ServerState>,
        helpers: Vec<Inlet<Accepted>>,
    ) -> io::Result<Port> {
        state.listens_at(listener.local_addr()?);
        let _ = state.connection_limit.accepting.set(reactor.remote());
        let acceptor = Self {
            factory,
            state: Rc::clone(state),
            helpers,
            next: Cell::new(0),
        };
        reactor.listen_with(listener, Rc::new(acceptor))
    }
}

impl Acceptor for LimitedAcceptor {
    fn has_room(&self) -> bool {
        self.state.connection_limit.has_room()
    }

    fn accepted(&self, reactor: &Reactor, accepted: Accepted) {
        self.state.connection_limit.connection_opened();
        let next = self.next.get();
        self.next.set((next + 1) % (self.helpers.len() + 1));
        match next.checked_sub(1) {
            None => reactor.adopt(accepted, &*self.factory),
            Some(helper) => {
                if self.helpers[helper].send(accepted).is_err() {
                    self.state.connection_limit.connection_closed();
                }
            }
        }
    }

    fn accept_failed(&self, error: io::Error) {
        let kind = Kind::AcceptFailed(error.to_string());
        self.state.reporter.report(self.state.scene(), kind);
    }
}
