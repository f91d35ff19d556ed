//! Listening: a port accepts as long as its acceptor has room, and pauses for a while when the system has no descriptor.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use poetry::error::costs_one_connection;
use poetry::limits::ACCEPT_RETRY;

use super::system::{Accepted, Listener};
use super::{Core, Reactor};
use crate::log;
use crate::protocol::{Factory, Producer};
use crate::timers::DelayedCall;

/// Connections accepted in one turn, so that a burst does not delay the connections served.
const ACCEPTS_PER_TURN: usize = 256;

/// Decides what happens to a port's connections.
pub trait Acceptor {
    /// Returns whether there is room for one more connection. If not, the port is paused until
    /// [`Port::resume_producing`](Producer).
    fn has_room(&self) -> bool {
        true
    }

    /// Serves the connection, or sends it to another reactor.
    fn accepted(&self, reactor: &Reactor, accepted: Accepted);

    /// Accepting failed for lack of descriptors or memory. The port tries again after [`ACCEPT_RETRY`] (S17).
    fn accept_failed(&self, error: io::Error) {
        let _ = error;
    }
}

/// Serves every connection in the port's own reactor.
pub(super) struct ServesHere(pub(super) Rc<dyn Factory>);

impl Acceptor for ServesHere {
    fn accepted(&self, reactor: &Reactor, accepted: Accepted) {
        reactor.adopt(accepted, &*self.0);
    }
}

/// A listening socket in a reactor. Clones are the same port. It stays open until [`Port::stop_listening`], or until
/// the reactor is dropped.
#[derive(Clone)]
pub struct Port(Rc<State>);

struct State {
    core: Weak<Core>,
    listener: RefCell<Option<Listener>>,
    acceptor: RefCell<Option<Rc<dyn Acceptor>>>,
    address: SocketAddr,
    token: usize,
    paused: Cell<bool>,
    serial: Cell<u64>,
    /// The delayed call that continues accepting, if one waits.
    retry: Cell<Option<DelayedCall>>,
}

/// The ports of a reactor. A port's token is its place, and the place of a stopped port is reused.
#[derive(Default)]
pub(super) struct Ports(RefCell<Vec<Port>>);

impl Ports {
    pub(super) fn ready(&self, token: usize) {
        let port = self.0.borrow().get(token).cloned();
        // A port that waits for descriptors retries by itself: an attempt for every arrival would fail each time (S17).
        if let Some(port) = port.filter(|port| !port.has_retry()) {
            port.accept();
        }
    }

    fn free_place(&self) -> usize {
        let ports = self.0.borrow();
        let stopped = ports
            .iter()
            .position(|port| port.0.listener.borrow().is_none());
        stopped.unwrap_or(ports.len())
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.0.borrow().len()
    }

    fn put(&self, place: usize, port: Port) {
        let mut ports = self.0.borrow_mut();
        match ports.get_mut(place) {
            Some(stopped) => *stopped = port,
            None => ports.push(port),
        }
    }

    pub(super) fn clear(&self) {
        let ports = self.0.borrow().clone();
        ports.iter().for_each(Port::stop_listening);
    }
}

impl Reactor {
    /// Resumes every paused port.
    pub fn resume_ports(&self) {
        let ports = self.core().ports.0.borrow().clone();
        ports.iter().for_each(Port::resume_producing);
    }

    /// Closes every port. The connections that they have accepted stay.
    pub(crate) fn close_ports(&self) {
        self.core().ports.clear();
    }
}

impl Port {
    pub(super) fn open(
        core: &Rc<Core>,
        mut listener: Listener,
        acceptor: Rc<dyn Acceptor>,
    ) -> io::Result<Self> {
        if core.is_closed() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let token = core.ports.free_place();
        core.driver.listen(&mut listener, token)?;
        let port = Self(Rc::new(State {
            core: Rc::downgrade(core),
            address: listener.address()?,
            listener: RefCell::new(Some(listener)),
            acceptor: RefCell::new(Some(acceptor)),
            token,
            paused: Cell::new(false),
            serial: Cell::new(0),
            retry: Cell::new(None),
        }));
        core.ports.put(token, port.clone());
        Ok(port)
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Closes the socket at once. Connections it has accepted stay.
    pub fn stop_listening(&self) {
        let acceptor = self.0.acceptor.take();
        drop(self.0.listener.take());
        drop(acceptor);
    }

    /// Accepts the connections that wait, up to a bound; the rest are accepted in the next turn.
    fn accept(&self) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.0.paused.get() || !self.accept_one() {
                return;
            }
        }
        self.accept_later(Duration::ZERO);
    }

    /// Accepts one connection; returns whether there may be another.
    fn accept_one(&self) -> bool {
        let acceptor = self.0.acceptor.borrow().clone();
        let (Some(acceptor), Some(core)) = (acceptor, self.0.core.upgrade()) else {
            return false;
        };
        match log::contained(|| acceptor.has_room()) {
            Some(true) => {}
            Some(false) => {
                self.0.paused.set(true);
                return false;
            }
            // It panicked. The connections that wait are accepted later, to keep a faulty acceptor from spinning.
            None => {
                self.accept_later(ACCEPT_RETRY);
                return false;
            }
        }
        let accepted = match &*self.0.listener.borrow() {
            Some(listener) => listener.accept(),
            None => return false,
        };
        match accepted {
            Ok((stream, peer)) => {
                let serial = self.0.serial.get();
                self.0.serial.set(serial + 1);
                let mut accepted = Some(Accepted {
                    stream,
                    peer,
                    serial,
                });
                let reactor = Reactor {
                    core: Rc::clone(&core),
                };
                // A panic drops this connection only: neither those behind it nor the one before.
                core.calling(self.0.token, || {
                    if let Some(accepted) = accepted.take() {
                        acceptor.accepted(&reactor, accepted);
                    }
                });
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The connection ended before it was accepted; the next may be fine (S19).
            Err(error) if costs_one_connection(&error) => true,
            Err(error) => {
                log::contained(|| acceptor.accept_failed(error));
                self.accept_later(ACCEPT_RETRY);
                false
            }
        }
    }

    /// Continues accepting after `delay`. The kernel announces readiness once, so a backlog that is left needs a call of
    /// its own; of two such calls, the earlier one stays.
    fn accept_later(&self, delay: Duration) {
        let again = self.0.retry.take();
        let waits = again.filter(|again| !delay.is_zero() || again.cancel().is_err());
        let again = waits.filter(DelayedCall::is_active).or_else(|| {
            let port = self.clone();
            let core = self.0.core.upgrade()?;
            Some(core.clock.call_later(delay, move || port.accept()))
        });
        self.0.retry.set(again);
    }

    fn has_retry(&self) -> bool {
        let again = self.0.retry.take();
        let waits = again.as_ref().is_some_and(DelayedCall::is_active);
        self.0.retry.set(again);
        waits
    }
}

/// A port produces connections.
impl Producer for Port {
    fn pause_producing(&self) {
        self.0.paused.set(true);
    }

    fn resume_producing(&self) {
        if self.0.paused.replace(false) {
            self.accept_later(Duration::ZERO);
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Port")
            .field("address", &self.0.address)
            .field("token", &self.0.token)
            .finish_non_exhaustive()
    }
}
