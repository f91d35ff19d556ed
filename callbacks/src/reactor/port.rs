//! Listening: a port accepts as long as its acceptor wants more, and waits a while when the system has no descriptor.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use poetry::error::costs_one_connection;
use poetry::limits::ACCEPT_RETRY;

use super::system::{Accepted, Listener};
use super::{Core, Reactor};
use crate::protocol::{Factory, Producer};

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
}

/// The ports of a reactor: few, never forgotten, so that a token is a place.
#[derive(Default)]
pub(super) struct Ports(RefCell<Vec<Port>>);

impl Ports {
    pub(super) fn ready(&self, token: usize) {
        let port = self.0.borrow().get(token & !PORT).cloned();
        if let Some(port) = port.filter(|_| token & PORT != 0) {
            port.accept();
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
        let mut ports = core.ports.0.borrow_mut();
        let token = PORT | ports.len();
        core.driver.listen(&mut listener, token)?;
        let port = Self(Rc::new(State {
            core: Rc::downgrade(core),
            address: listener.address()?,
            listener: RefCell::new(Some(listener)),
            acceptor: RefCell::new(Some(acceptor)),
            token,
            paused: Cell::new(false),
            serial: Cell::new(0),
        }));
        ports.push(port.clone());
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
        self.later(std::time::Duration::ZERO);
    }

    /// Whether there may be another.
    fn accept_one(&self) -> bool {
        let acceptor = self.0.acceptor.borrow().clone();
        let (Some(acceptor), Some(core)) = (acceptor, self.0.core.upgrade()) else {
            return false;
        };
        if !acceptor.wants_more() {
            self.0.paused.set(true);
            return false;
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
                acceptor.accept_failed(error);
                self.later(ACCEPT_RETRY);
                false
            }
        }
    }

    /// Readiness is announced once: what is left in the backlog must be remembered.
    fn later(&self, delay: std::time::Duration) {
        let port = self.clone();
        if let Some(core) = self.0.core.upgrade() {
            core.clock.call_later(delay, move || port.accept());
        }
    }
}

/// A port makes connections.
impl Producer for Port {
    fn pause_producing(&self) {
        self.0.paused.set(true);
    }

    fn resume_producing(&self) {
        if self.0.paused.replace(false) {
            self.later(std::time::Duration::ZERO);
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
