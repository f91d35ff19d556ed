//! A connection: its socket, its protocol, what it has still to send, and its timeout. All of it is behind cells, so
//! that whoever is called back may do anything; what cannot be done on the spot is done when the call has returned.

use std::cell::Cell;
use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;

use super::Core;
use super::slots::Tokened;
use super::system::{Ready, Socket};
use crate::log;
use crate::protocol::{Factory, Lost, Producer, Protocol};

mod api;
mod connecting;
mod sending;

/// Unsent bytes at which a registered producer is asked to wait.
const UNSENT_BYTES_HIGH: usize = 64 << 10;
/// No timeout.
const NEVER: u64 = u64::MAX;

/// A protocol's way to its connection. Clones are the same connection; one that is gone takes nothing any more.
#[derive(Clone)]
pub struct Transport(Rc<Connection>);

/// Small, because most connections are idle most of the time: what only a busy one needs is in [`Extra`].
struct Connection {
    core: Rc<Core>,
    token: usize,
    protocol: Cell<Option<Box<dyn Protocol>>>,
    socket: Cell<Option<Socket>>,
    extra: Cell<Option<Box<Extra>>>,
    /// When the protocol wants to be told that time is over, in the core's nanoseconds.
    deadline: Cell<u64>,
    /// When the core will look at `deadline`: never later than that, often earlier. So moving a deadline is one store.
    looked_at: Cell<u64>,
    peer: PeerAddress,
    flags: Cell<u32>,
}

/// What a busy connection has besides.
#[derive(Default)]
struct Extra {
    unsent: Vec<u8>,
    sent: usize,
    producer: Option<Rc<dyn Producer>>,
    /// For a connection that is being made.
    factory: Option<Rc<dyn Factory>>,
    error: Option<io::Error>,
}

/// A `SocketAddr` in half the memory; IPv6 pays for it.
enum PeerAddress {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

// What is true of a connection.
const CONNECTING: u32 = 1;
const READABLE: u32 = 1 << 1;
/// Reading will come to the end of the stream.
const ENDED: u32 = 1 << 2;
const PAUSED: u32 = 1 << 3;
const READ_END: u32 = 1 << 4;
/// Bytes or an offer wait for room.
const BLOCKED: u32 = 1 << 5;
const WATCHES_ROOM: u32 = 1 << 6;
const LOSING: u32 = 1 << 7;
const LOSING_WRITE: u32 = 1 << 8;
const WRITE_END: u32 = 1 << 9;
const ABORTED: u32 = 1 << 10;
const CLOSED: u32 = 1 << 11;
const IN_CALL: u32 = 1 << 12;
const ATTENTIVE: u32 = 1 << 13;
const PRODUCER_WAITS: u32 = 1 << 14;
/// The program ends, and the protocol is to be told when the call it is in has returned.
const SHUT_DOWN: u32 = 1 << 15;
/// The kernel has taken something of what had to wait.
const TAKEN: u32 = 1 << 16;

/// What the core does.
impl Transport {
    fn new(core: &Rc<Core>, socket: Socket, token: usize, peer: SocketAddr, flags: u32) -> Self {
        let peer = match peer {
            SocketAddr::V4(address) => PeerAddress::V4(address),
            SocketAddr::V6(address) => PeerAddress::V6(Box::new(address)),
        };
        Self(Rc::new(Connection {
            core: Rc::clone(core),
            token,
            protocol: Cell::new(None),
            socket: Cell::new(Some(socket)),
            extra: Cell::new(None),
            deadline: Cell::new(NEVER),
            looked_at: Cell::new(NEVER),
            peer,
            flags: Cell::new(flags),
        }))
    }

    /// A connection that is made, with its protocol; broken at once if it could not be `watched`.
    pub(super) fn establish(
        core: &Rc<Core>,
        socket: Socket,
        token: usize,
        peer: SocketAddr,
        protocol: Box<dyn Protocol>,
        watched: io::Result<()>,
    ) {
        let transport = Self::new(core, socket, token, peer, 0);
        transport.0.protocol.set(Some(protocol));
        core.connections.borrow_mut().fill(transport.clone());
        core.calling(token, || {
            transport.call(|protocol, transport| protocol.connection_made(transport));
        });
        if let Err(error) = watched {
            transport.break_down(error);
        }
        transport.finish_up();
    }

    /// The kernel says that something can be done.
    #[inline]
    pub(super) fn ready(&self, ready: Ready, buffer: &mut [u8]) {
        if self.is(CONNECTING) {
            self.check_connected();
            // What is readable by now is announced only this once.
            if self.is(CONNECTING | CLOSED) {
                return;
            }
        }
        if ready.writable && self.is(BLOCKED) {
            self.flush();
        }
        if ready.readable || ready.ended {
            self.set(if ready.ended {
                READABLE | ENDED
            } else {
                READABLE
            });
            self.read(buffer);
        }
        self.finish_up();
    }

    /// Something was asked for while no call of this connection was on.
    pub(super) fn attend(&self, buffer: &mut [u8]) {
        self.clear(ATTENTIVE);
        if self.is(READABLE) {
            self.read(buffer);
        }
        self.finish_up();
    }

    /// The time that `due` stood for has come: is the deadline over?
    pub(super) fn check_timeout(&self, due: u64, now: u64) {
        if self.0.looked_at.get() != due {
            return;
        }
        self.0.looked_at.set(NEVER);
        let deadline = self.0.deadline.get();
        if deadline > now {
            if deadline != NEVER {
                self.0.looked_at.set(deadline);
                let entry = Reverse((deadline, self.0.token));
                self.0.core.timeouts.borrow_mut().push(entry);
            }
            return;
        }
        self.0.deadline.set(NEVER);
        if self.is(CONNECTING) {
            return self.check_connected_in_time();
        }
        if !self.takes_little_by_little() {
            self.call(|protocol, transport| protocol.timeout_connection(transport));
        }
        self.finish_up();
    }

    /// The kernel announces room when a good part of its buffer is free: whoever has taken less by now has taken
    /// something all the same (S18). Whether that is so, and its protocol waits on.
    fn takes_little_by_little(&self) -> bool {
        if !self.is(BLOCKED) {
            return false;
        }
        self.clear(TAKEN);
        self.flush();
        self.is(TAKEN) && self.0.deadline.get() != NEVER
    }

    /// Whether the core has been told to look at this connection's timeout at `due`.
    pub(super) fn is_looked_at(&self, due: u64) -> bool {
        self.0.looked_at.get() == due
    }

    pub(super) fn shut_down(&self) {
        if self.is(CONNECTING) {
            self.abort_connection();
        } else if self.is(IN_CALL) {
            self.set(SHUT_DOWN);
        } else {
            self.call(|protocol, transport| protocol.shut_down(transport));
            self.finish_up();
        }
    }

    /// Its protocol panicked: there is nobody left to be told anything.
    pub(super) fn give_up(&self) {
        self.clear(IN_CALL);
        self.close(Lost::Aborted);
    }

    /// One read. A full buffer means that there may be more, later, when others had their turn; a short one that there
    /// is not: the next byte, or FIN, will be announced.
    fn read(&self, buffer: &mut [u8]) {
        while !self.is(PAUSED | READ_END | LOSING | ABORTED | CLOSED) {
            match self.receive(buffer) {
                Ok(0) => {
                    self.set(READ_END);
                    self.clear(READABLE);
                    self.call(|protocol, transport| protocol.read_connection_lost(transport));
                }
                Ok(count) => {
                    let full = count == buffer.len();
                    if !full && !self.is(ENDED) {
                        self.clear(READABLE);
                    }
                    self.call(|protocol, transport| {
                        protocol.data_received(transport, &buffer[..count]);
                    });
                    if full {
                        return self.queue();
                    }
                    if !self.is(READABLE) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.clear(READABLE);
                }
                Err(error) => self.break_down(error),
            }
        }
    }

    #[inline(always)] // On the hot path once; measured.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut socket) = self.0.socket.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let received = loop {
            match socket.receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        self.0.socket.set(Some(socket));
        received
    }

    #[cold]
    fn break_down(&self, error: io::Error) {
        self.with_extra(|extra| extra.error = Some(error));
        self.set(ABORTED);
        self.ask_attention();
    }

    /// Calls the protocol, which is taken out for that time: whatever it does, it is not called again meanwhile.
    #[inline(always)] // On the hot path once; measured.
    fn call(&self, call: impl FnOnce(&mut dyn Protocol, &Self)) {
        let Some(mut protocol) = self.0.protocol.take() else {
            return;
        };
        self.set(IN_CALL);
        call(&mut *protocol, self);
        self.clear(IN_CALL);
        self.0.protocol.set(Some(protocol));
    }

    /// Does what calls have asked for.
    #[inline]
    fn finish_up(&self) {
        if self.is(LOSING | LOSING_WRITE | ABORTED | SHUT_DOWN) {
            self.end();
        }
    }

    fn end(&self) {
        if self.is(CLOSED) {
            return;
        }
        if self.is(SHUT_DOWN) {
            self.clear(SHUT_DOWN);
            return self.shut_down();
        }
        if self.is(ABORTED) {
            let error = self.with_extra(|extra| extra.error.take());
            return self.close(error.map_or(Lost::Aborted, Lost::Broken));
        }
        if self.is(BLOCKED) {
            return;
        }
        if self.is(LOSING) {
            return self.close(Lost::Done);
        }
        if !self.is(WRITE_END) {
            self.set(WRITE_END);
            self.finish_writing();
        }
    }

    /// The connection is gone from here on.
    pub(super) fn close(&self, lost: Lost) {
        if self.is(CLOSED) {
            return;
        }
        self.set(CLOSED);
        self.0.core.connections.borrow_mut().release(self.0.token);
        drop(self.0.socket.take());
        let extra = self.0.extra.take();
        self.0.core.clean_up_timeouts();
        if let Some(producer) = extra.and_then(|extra| extra.producer) {
            log::contained(|| producer.stop_producing());
        }
        if let Some(mut protocol) = self.0.protocol.take() {
            protocol.connection_lost(self, lost);
        }
    }

    fn ask_attention(&self) {
        if !self.is(IN_CALL) {
            self.queue();
        }
    }

    fn queue(&self) {
        if !self.is(ATTENTIVE | CLOSED) {
            self.set(ATTENTIVE);
            self.0.core.attention.borrow_mut().push(self.clone());
        }
    }

    fn with_extra<T>(&self, act: impl FnOnce(&mut Extra) -> T) -> T {
        let mut extra = self.0.extra.take().unwrap_or_default();
        let result = act(&mut extra);
        self.0.extra.set(Some(extra));
        result
    }

    fn drop_idle_extra(&self) {
        let extra = self.0.extra.take();
        self.0.extra.set(extra.filter(|extra| {
            !extra.unsent.is_empty()
                || extra.producer.is_some()
                || extra.factory.is_some()
                || extra.error.is_some()
        }));
    }

    #[inline]
    fn is(&self, any: u32) -> bool {
        self.0.flags.get() & any != 0
    }

    #[inline]
    fn set(&self, flags: u32) {
        self.0.flags.set(self.0.flags.get() | flags);
    }

    #[inline]
    fn clear(&self, flags: u32) {
        self.0.flags.set(self.0.flags.get() & !flags);
    }
}

impl Tokened for Transport {
    #[inline]
    fn token(&self) -> usize {
        self.0.token
    }
}

impl Transport {
    #[inline]
    pub(super) fn token(&self) -> usize {
        self.0.token
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transport")
            .field("peer", &self.peer())
            .field("closed", &self.is(CLOSED))
            .finish_non_exhaustive()
    }
}
