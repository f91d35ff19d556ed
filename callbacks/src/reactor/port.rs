//! Listening: a port accepts as long as its acceptor wants more, and waits a while when the system has no descriptor.

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

/// Connections accepted in one turn, so that those who are connected have theirs.
const ACCEPTS_PER_TURN: usize = 256;
/// The topmost bit of a token says that it is a port's.
const PORT: usize = 1 << (usize::BITS - 1);

/// Decides what becomes of a port's connections.
pub trait Acceptor {
    /// Whether one more is wanted. After a no the port is paused until [`Port::resume_producing`](Producer).
    fn wants_more(&self) -> bool {
        true
    }

    /// Here is one.
    fn accepted(&self, reactor: &Reactor, accepted: Accepted);

    /// The system had none to give, for want of descriptors or memory; the port tries again in a while (S17).
    fn accept_failed(&self, error: io::Error) {
        let _ = error;
    }
}

/// Every connection is served here, by what the factory builds.
pub(super) struct Here(pub(super) Rc<dyn Factory>);

impl Acceptor for Here {
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
    /// The one call that goes on with accepting, while that waits.
    again: Cell<Option<DelayedCall>>,
}

/// The ports of a reactor. A token is a place; that of a port which has stopped is taken by the next.
#[derive(Default)]
pub(super) struct Ports(RefCell<Vec<Port>>);

impl Ports {
    pub(super) fn ready(&self, token: usize) {
        let port = self.0.borrow().get(token & !PORT).cloned();
        // One that waits for a descriptor knows that somebody is there: a try for each who comes would find none (S17).
        if let Some(port) = port.filter(|port| token & PORT != 0 && !port.is_waiting()) {
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
    /// Lets every paused port go on.
    pub fn resume_ports(&self) {
        let ports = self.core().ports.0.borrow().clone();
        ports.iter().for_each(Port::resume_producing);
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
        let place = core.ports.free_place();
        let token = PORT | place;
        core.driver.listen(&mut listener, token)?;
        let port = Self(Rc::new(State {
            core: Rc::downgrade(core),
            address: listener.address()?,
            listener: RefCell::new(Some(listener)),
            acceptor: RefCell::new(Some(acceptor)),
            token,
            paused: Cell::new(false),
            serial: Cell::new(0),
            again: Cell::new(None),
        }));
        core.ports.put(place, port.clone());
        Ok(port)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Closes the socket at once; connections it has accepted stay.
    pub fn stop_listening(&self) {
        let acceptor = self.0.acceptor.take();
        drop(self.0.listener.take());
        drop(acceptor);
    }

    /// Accepts what waits, up to a number; then the rest has its turn, and this goes on in the next.
    fn accept(&self) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.0.paused.get() || !self.accept_one() {
                return;
            }
        }
        self.later(Duration::ZERO);
    }

    /// Whether there may be another.
    fn accept_one(&self) -> bool {
        let acceptor = self.0.acceptor.borrow().clone();
        let (Some(acceptor), Some(core)) = (acceptor, self.0.core.upgrade()) else {
            return false;
        };
        match log::contained(|| acceptor.wants_more()) {
            Some(true) => {}
            Some(false) => {
                self.0.paused.set(true);
                return false;
            }
            // It has panicked: those who wait are asked after again, but not at once.
            None => {
                self.later(ACCEPT_RETRY);
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
                // A panic costs this one, and neither those that wait behind it nor the one accepted before.
                core.calling(self.0.token, || {
                    if let Some(accepted) = accepted.take() {
                        acceptor.accepted(&reactor, accepted);
                    }
                });
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The connection died before we had it; the next may be well (S19).
            Err(error) if costs_one_connection(&error) => true,
            Err(error) => {
                log::contained(|| acceptor.accept_failed(error));
                self.later(ACCEPT_RETRY);
                false
            }
        }
    }

    /// Readiness is announced once: what is left in the backlog must be remembered. One call does that, the earlier one.
    fn later(&self, delay: Duration) {
        let again = self.0.again.take();
        let waits = again.filter(|again| !delay.is_zero() || again.cancel().is_err());
        let again = waits.filter(DelayedCall::is_active).or_else(|| {
            let port = self.clone();
            let core = self.0.core.upgrade()?;
            Some(core.clock.call_later(delay, move || port.accept()))
        });
        self.0.again.set(again);
    }

    fn is_waiting(&self) -> bool {
        let again = self.0.again.take();
        let waits = again.as_ref().is_some_and(DelayedCall::is_active);
        self.0.again.set(again);
        waits
    }
}

/// A port makes connections.
impl Producer for Port {
    fn pause_producing(&self) {
        self.0.paused.set(true);
    }

    fn resume_producing(&self) {
        if self.0.paused.replace(false) {
            self.later(Duration::ZERO);
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Port")
            .field("address", &self.0.address)
            .field("token", &(self.0.token & !PORT))
            .finish_non_exhaustive()
    }
}
