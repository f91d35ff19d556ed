//! What a program says about its connections: protocols, the factories that build them, and producers. Who calls them,
//! and when, is the reactor's business.

use std::io;
use std::net::SocketAddr;

use crate::reactor::Transport;

/// One end of one connection: what is to be done when something happens on it (R9).
///
/// Its methods are called by the reactor only, never while another one of them runs, so they may do anything to their
/// transport, to others and to the reactor. A panic in one drops this connection and nothing else (R4).
///
/// ```
/// use callbacks::{Address, Factory, Lost, MemoryReactor, Protocol, Transport};
/// use std::{cell::RefCell, rc::Rc};
///
/// /// Answers the first bytes, and closes.
/// struct AnswersOnce(Rc<RefCell<Vec<Lost>>>);
///
/// impl Protocol for AnswersOnce {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         assert_ne!(data, b"bad", "a panic in data_received");
///         transport.write(data);
///         transport.lose_connection(); // Once that is sent.
///     }
///
///     fn connection_lost(&mut self, _: &Transport, reason: Lost) {
///         self.0.borrow_mut().push(reason);
///     }
/// }
///
/// struct AnswersOnceFactory(Rc<RefCell<Vec<Lost>>>);
///
/// impl Factory for AnswersOnceFactory {
///     fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
///         Some(Box::new(AnswersOnce(Rc::clone(&self.0))))
///     }
/// }
///
/// # callbacks::log::set_hook(|_| ());
/// let (reactor, lost) = (MemoryReactor::new(), Rc::default());
/// let factory: Rc<dyn Factory> = Rc::new(AnswersOnceFactory(Rc::clone(&lost)));
/// let (good, bad) = (reactor.accept(&factory), reactor.accept(&factory));
/// bad.send(b"bad");
/// good.send(b"ahoy");
/// reactor.settle();
/// assert_eq!(good.received(), b"ahoy");
/// assert!(good.is_closed() && bad.is_closed());
/// assert!(matches!(lost.borrow()[..], [Lost::Done]));
/// ```
pub trait Protocol {
    /// The connection is made.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Bytes came; at least one, and at most a read buffer of them. They are lent for the time of the call.
    fn data_received(&mut self, transport: &Transport, data: &[u8]);

    /// The kernel has taken `bytes` more of what [`Transport::write`] had to keep; [`Transport::unsent`] are left.
    fn data_sent(&mut self, transport: &Transport, bytes: usize) {
        let _ = (transport, bytes);
    }

    /// There is room again for somebody whose [`Transport::offer`] was not taken whole.
    fn resume_producing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The peer has finished sending (FIN). Unless a protocol knows better, the connection ends.
    fn read_connection_lost(&mut self, transport: &Transport) {
        transport.lose_connection();
    }

    /// The time given to [`Transport::set_timeout`] is over.
    fn timeout_connection(&mut self, transport: &Transport) {
        transport.abort_connection();
    }

    /// The program shuts down: finish what is in flight, then lose the connection (S21).
    fn shut_down(&mut self, transport: &Transport) {
        transport.lose_connection();
    }

    /// The connection is gone. This is the last call; the protocol is dropped after it.
    fn connection_lost(&mut self, transport: &Transport, reason: Lost) {
        let _ = (transport, reason);
    }
}

/// Why a connection is gone.
#[derive(Debug)]
pub enum Lost {
    /// It was closed in order, after all that had been written was taken.
    Done,
    /// This end aborted it, or the reactor ended.
    Aborted,
    /// The peer reset it, or the network broke it.
    Broken(io::Error),
}

/// Builds a protocol for each connection; used again and again.
pub trait Factory {
    /// A protocol for the connection at `address`, or `None` to close it at once.
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>>;

    /// A connection that was to be made to `peer` was not (R9): what was made and lost is told to its protocol.
    fn connection_failed(&self, peer: SocketAddr, error: io::Error) {
        let _ = (peer, error);
    }
}

/// Where a connection leads, and who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The other end.
    pub peer: SocketAddr,
    /// Whether this end accepted or initiated it.
    pub side: Side,
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The other end connected. Its port's connections are counted from 0.
    Accepted {
        /// The number of this one.
        serial: u64,
    },
    /// This end connected.
    Initiated,
}

/// Somebody who makes bytes, and can be asked to wait: a transport, for one, whose bytes come from its peer. Registered
/// with the transport its bytes go to, it waits while that one's peer does not take them:
///
/// ```
/// use callbacks::{Address, Factory, MemoryReactor, Protocol, Transport};
/// use std::rc::Rc;
///
/// /// Sends back everything many times over.
/// struct Echoes;
///
/// impl Protocol for Echoes {
///     fn connection_made(&mut self, transport: &Transport) {
///         transport.register_producer(Rc::new(transport.clone()));
///     }
///
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         transport.write(&data.repeat(100_000));
///     }
/// }
///
/// impl Factory for Echoes {
///     fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
///         Some(Box::new(Echoes))
///     }
/// }
///
/// let reactor = MemoryReactor::new();
/// let peer = reactor.accept(&(Rc::new(Echoes) as Rc<dyn Factory>));
/// peer.limit_room(10); // It takes ten bytes, and then no more.
/// peer.send(b"x");
/// reactor.settle();
/// peer.send(b"y");
/// reactor.settle();
/// assert_eq!(peer.unread(), 1); // What it sends now waits in the kernel, not here.
/// ```
pub trait Producer {
    /// Make no more, until told otherwise.
    fn pause_producing(&self);
    /// Go on.
    fn resume_producing(&self);

    /// Nobody takes what is made any more: the connection it went to is gone. A producer that waits would wait for ever.
    fn stop_producing(&self) {}
}
