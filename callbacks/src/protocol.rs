//! The traits that programs implement for their connections: protocols, the factories that build them, and producers. The
//! reactor calls them.

use std::io;
use std::net::SocketAddr;

use poetry::event::Wait;

use crate::reactor::Transport;

/// One end of one connection: its methods say what to do when something happens on it (R9).
///
/// Only the reactor calls them, and never while another one runs, so they may use their transport, other transports and
/// the reactor freely. A panic in one drops this connection and nothing else (R4).
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
    /// The connection is established.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Bytes have arrived: at least one, and at most a read buffer.
    fn data_received(&mut self, transport: &Transport, data: &[u8]);

    /// The connection's next turn: `data` is what [`Transport::end_turn_at`] kept in an earlier one (S24).
    fn next_turn(&mut self, transport: &Transport, data: &[u8]) {
        self.data_received(transport, data);
    }

    /// The kernel has taken `bytes` more of what [`Transport::write`] kept; [`Transport::unsent`] are left.
    fn data_sent(&mut self, transport: &Transport, bytes: usize) {
        let _ = (transport, bytes);
    }

    /// The kernel has room again, after it did not take all of a [`Transport::offer`] or [`Transport::write`]. (In Twisted's
    /// terms, the protocol is a producer of its transport.)
    fn resume_producing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// What [`Transport::wake`] asked for: something that the protocol waited for has happened.
    fn woken(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The peer has finished sending (FIN). By default the connection is closed.
    fn read_connection_lost(&mut self, transport: &Transport) {
        transport.lose_connection();
    }

    /// The time given to [`Transport::set_timeout`] has passed.
    fn timeout_connection(&mut self, transport: &Transport) {
        transport.abort_connection();
    }

    /// The program is shutting down: finish what is in flight, then close the connection (S21). Only accepted connections
    /// get this call.
    fn shut_down(&mut self, transport: &Transport) {
        transport.lose_connection();
    }

    /// The connection is closed. This is the last call; the protocol is dropped after it.
    fn connection_lost(&mut self, transport: &Transport, reason: Lost) {
        let _ = (transport, reason);
    }

    /// Returns what the connection waits for between two calls, for timelines. By default that is what its transport waits for.
    fn waits_for(&self, transport: &Transport) -> Wait {
        transport.waits_for()
    }
}

/// Why a connection was closed.
#[derive(Debug)]
pub enum Lost {
    /// It was closed in order, after everything written was taken.
    Done,
    /// This end aborted it, or the reactor ended.
    Aborted,
    /// The peer reset it, or the network broke it.
    Broken(io::Error),
}

// ANCHOR: factory_trait
/// Builds a protocol for each connection.
pub trait Factory {
    /// Returns a protocol for the connection at `address`, or `None` to close it at once.
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>>;

    /// A connection to `peer` was never established (R9). The loss of an established connection goes to its protocol.
    fn connection_failed(&self, peer: SocketAddr, error: io::Error) {
        let _ = (peer, error);
    }
}
// ANCHOR_END: factory_trait

/// A connection's peer, and which end initiated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The peer's address.
    pub peer: SocketAddr,
    /// Whether this end accepted or initiated it.
    pub side: Side,
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The peer connected to a port here.
    Accepted {
        /// The number of this connection among the port's, from 0.
        serial: u64,
    },
    /// This end connected.
    Initiated,
}

/// A source of bytes that can be paused. A [`Transport`] is one: it produces what its peer sends. A transport pauses the
/// producer that is [registered](Transport::register_producer) with it while its own peer takes too little:
///
/// ```
/// use callbacks::{Address, Factory, MemoryReactor, Protocol, Transport};
/// use std::rc::Rc;
///
/// /// Sends everything back many times over.
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
/// peer.limit_room(10); // The peer takes ten bytes, and then no more.
/// peer.send(b"x");
/// reactor.settle();
/// peer.send(b"y");
/// reactor.settle();
/// assert_eq!(peer.unread(), 1); // The second byte waits in the kernel, unread.
/// ```
pub trait Producer {
    /// Stops producing until [`resume_producing`](Self::resume_producing).
    fn pause_producing(&self);
    /// Continues producing.
    fn resume_producing(&self);

    /// Ends production, because the connection that takes the bytes is closed: a paused producer would never be resumed.
    fn stop_producing(&self) {}
}
