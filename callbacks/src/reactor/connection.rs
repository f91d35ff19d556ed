//! A connection: its socket, its protocol, what it has still to send, and its timeout. All of it is behind cells, so
//! that whoever is called back may do anything; what cannot be done on the spot is done when the call has returned.

use std::cell::Cell;
use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use super::slots::Tokened;
use super::system::{Ready, Socket};
use super::{Core, Reactor, nanos};
use crate::protocol::{Address, Factory, Lost, Producer, Protocol};

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
    flags: Cell<u16>,
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
const CONNECTING: u16 = 1;
const READABLE: u16 = 1 << 1;
/// Reading will come to the end of the stream.
const ENDED: u16 = 1 << 2;
const PAUSED: u16 = 1 << 3;
const READ_END: u16 = 1 << 4;
/// Bytes or an offer wait for room.
const BLOCKED: u16 = 1 << 5;
const WATCHES_ROOM: u16 = 1 << 6;
const LOSING: u16 = 1 << 7;
const LOSING_WRITE: u16 = 1 << 8;
const WRITE_END: u16 = 1 << 9;
const ABORTED: u16 = 1 << 10;
const CLOSED: u16 = 1 << 11;
const IN_CALL: u16 = 1 << 12;
const ATTENTIVE: u16 = 1 << 13;
const PRODUCER_WAITS: u16 = 1 << 14;

/// What a protocol may do.
impl Transport {
    /// Sends `bytes` behind all that was written before, and says how many of them the kernel has taken at once. The
    /// rest is kept, and [`data_sent`](Protocol::data_sent) tells how it goes. After the write side was lost: nothing.
    pub fn write(&self, bytes: &[u8]) -> usize {
        if self.is(CONNECTING | LOSING | LOSING_WRITE | ABORTED | CLOSED) {
            return 0;
        }
        let taken = if self.is(BLOCKED) {
            0
        } else {
            self.send(bytes)
        };
        if taken < bytes.len() && !self.is(ABORTED) {
            self.keep(&bytes[taken..]);
        }
        taken
    }

    /// As [`write`](Self::write), but keeps nothing: what is not taken stays the caller's to offer again when
    /// [`resume_producing`](Protocol::resume_producing) is called. For bytes that are shared by many.
    pub fn offer(&self, bytes: &[u8]) -> usize {
        if self.is(CONNECTING | BLOCKED | LOSING | LOSING_WRITE | ABORTED | CLOSED) {
            return 0;
        }
        let taken = self.send(bytes);
        if taken < bytes.len() && !self.is(ABORTED) {
            self.block();
        }
        taken
    }

    /// Bytes written and not taken yet.
    pub fn unsent(&self) -> usize {
        if !self.is(BLOCKED) {
            return 0;
        }
        self.with_extra(|extra| extra.unsent.len() - extra.sent)
    }

    /// Whether something written or offered waits for the kernel to take it.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.is(BLOCKED)
    }

    /// The reactor's time: that of this turn.
    #[inline]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.core.now.get())
    }

    /// Closes once all that was written has been taken. Nothing more is read (R9).
    pub fn lose_connection(&self) {
        self.set(LOSING);
        self.ask_attention();
    }

    /// Sends FIN once all that was written has been taken, and goes on reading.
    pub fn lose_write_connection(&self) {
        self.set(LOSING_WRITE);
        self.ask_attention();
    }

    /// Closes without regard to what was written (R9).
    pub fn abort_connection(&self) {
        self.set(ABORTED);
        self.ask_attention();
    }

    /// Calls [`timeout_connection`](Protocol::timeout_connection) once, `time` from now, unless this is called again
    /// before; `None`: not at all. Costs next to nothing, however often it is called.
    pub fn set_timeout(&self, time: Option<Duration>) {
        let deadline = time.map_or(NEVER, |time| {
            self.0.core.now.get().saturating_add(nanos(time))
        });
        self.0.deadline.set(deadline);
        if deadline < self.0.looked_at.get() && !self.is(CLOSED) {
            self.0.looked_at.set(deadline);
            let entry = Reverse((deadline, self.0.token));
            self.0.core.timeouts.borrow_mut().push(entry);
        }
    }

    /// Tells `producer` to wait while more than 64 KiB are unsent, and to go on when all of it is sent.
    pub fn register_producer(&self, producer: Rc<dyn Producer>) {
        if !self.is(CLOSED) {
            self.with_extra(|extra| extra.producer = Some(producer));
        }
    }

    /// Forgets the producer.
    pub fn unregister_producer(&self) {
        let producer = self.with_extra(|extra| extra.producer.take());
        self.drop_idle_extra();
        drop(producer);
    }

    /// The other end's address.
    pub fn peer(&self) -> SocketAddr {
        match &self.0.peer {
            PeerAddress::V4(address) => SocketAddr::V4(*address),
            PeerAddress::V6(address) => SocketAddr::V6(**address),
        }
    }

    /// This end's address, asked of the system.
    pub fn host(&self) -> Option<SocketAddr> {
        let socket = self.0.socket.take()?;
        let address = socket.local().ok();
        self.0.socket.set(Some(socket));
        address
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.is(CLOSED)
    }

    /// The reactor that calls.
    pub fn reactor(&self) -> Reactor {
        Reactor {
            core: Rc::clone(&self.0.core),
        }
    }
}

/// Reading is producing: a transport can be the producer of another, and then back-pressure goes through (R9).
impl Producer for Transport {
    fn pause_producing(&self) {
        self.set(PAUSED);
    }

    fn resume_producing(&self) {
        self.clear(PAUSED);
        if self.is(READABLE) {
            // In a call too: the reading that this call may be part of has stopped.
            self.queue();
        }
    }
}

/// What the core does.
impl Transport {
    fn new(core: &Rc<Core>, socket: Socket, token: usize, peer: SocketAddr, flags: u16) -> Self {
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
        core.current.set(token);
        transport.call(|protocol, transport| protocol.connection_made(transport));
        if let Err(error) = watched {
            transport.break_down(error);
        }
        transport.finish_up();
    }

    /// A connection that has been begun.
    pub(super) fn dial(
        core: &Rc<Core>,
        socket: Socket,
        token: usize,
        address: Address,
        factory: Rc<dyn Factory>,
    ) -> Self {
        let transport = Self::new(core, socket, token, address.peer, CONNECTING);
        transport.with_extra(|extra| extra.factory = Some(factory));
        core.connections.borrow_mut().fill(transport.clone());
        transport
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
            return self.fail_to_connect(io::ErrorKind::TimedOut.into());
        }
        self.call(|protocol, transport| protocol.timeout_connection(transport));
        self.finish_up();
    }

    pub(super) fn shut_down(&self) {
        if self.is(CONNECTING) {
            self.abort_connection();
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

    #[inline]
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

    /// What the kernel takes of `bytes`; nothing if the connection broke.
    #[inline]
    fn send(&self, bytes: &[u8]) -> usize {
        let Some(mut socket) = self.0.socket.take() else {
            return 0;
        };
        let sent = loop {
            match socket.send(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        self.0.socket.set(Some(socket));
        match sent {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.break_down(error);
                0
            }
        }
    }

    #[cold]
    fn keep(&self, bytes: &[u8]) {
        let producer = self.with_extra(|extra| {
            extra.unsent.extend_from_slice(bytes);
            let high = extra.unsent.len() - extra.sent > UNSENT_BYTES_HIGH;
            extra.producer.clone().filter(|_| high)
        });
        self.block();
        if let Some(producer) = producer.filter(|_| !self.is(PRODUCER_WAITS)) {
            self.set(PRODUCER_WAITS);
            producer.pause_producing();
        }
    }

    /// Waits for room in the kernel. Most connections never do, so it is only now that this is watched.
    fn block(&self) {
        self.set(BLOCKED);
        if self.is(WATCHES_ROOM) {
            return;
        }
        self.set(WATCHES_ROOM);
        let Some(mut socket) = self.0.socket.take() else {
            return;
        };
        let watched = self.0.core.driver.want_room(&mut socket, self.0.token);
        self.0.socket.set(Some(socket));
        if let Err(error) = watched {
            self.break_down(error);
        }
    }

    /// There may be room: sends what waits, and says so.
    fn flush(&self) {
        let Some(mut extra) = self.0.extra.take() else {
            return self.unblocked();
        };
        let taken = self.send(&extra.unsent[extra.sent..]);
        extra.sent += taken;
        let all = extra.sent == extra.unsent.len();
        if all {
            extra.unsent = Vec::new();
            extra.sent = 0;
        } else if extra.sent > extra.unsent.len() / 2 {
            extra.unsent.drain(..extra.sent);
            extra.sent = 0;
        }
        if let Some(error) = self.0.extra.take().and_then(|newer| newer.error) {
            extra.error = Some(error);
        }
        self.0.extra.set(Some(extra));
        if taken > 0 {
            self.call(|protocol, transport| protocol.data_sent(transport, taken));
        }
        if all && !self.is(ABORTED) {
            self.unblocked();
        }
    }

    fn unblocked(&self) {
        // The call to `data_sent` may have written more.
        if self.with_extra(|extra| extra.unsent.len()) > 0 {
            return;
        }
        self.clear(BLOCKED);
        if self.is(PRODUCER_WAITS) {
            self.clear(PRODUCER_WAITS);
            let producer = self.with_extra(|extra| extra.producer.clone());
            if let Some(producer) = producer {
                producer.resume_producing();
            }
        }
        self.drop_idle_extra();
        self.call(|protocol, transport| protocol.resume_producing(transport));
    }

    #[cold]
    fn break_down(&self, error: io::Error) {
        self.with_extra(|extra| extra.error = Some(error));
        self.set(ABORTED);
        self.ask_attention();
    }

    fn check_connected(&self) {
        if self.is(ABORTED) {
            return self.finish_up();
        }
        let Some(socket) = self.0.socket.take() else {
            return;
        };
        let connected = socket.is_connected();
        self.0.socket.set(Some(socket));
        match connected {
            Ok(true) => self.connected(),
            Ok(false) => {}
            Err(error) => self.fail_to_connect(error),
        }
    }

    fn connected(&self) {
        self.clear(CONNECTING);
        self.set(WATCHES_ROOM);
        self.set_timeout(None);
        let factory = self.with_extra(|extra| extra.factory.take());
        self.drop_idle_extra();
        let address = Address {
            peer: self.peer(),
            side: crate::protocol::Side::Initiated,
        };
        match factory.and_then(|factory| factory.build_protocol(&address)) {
            Some(protocol) => {
                self.0.protocol.set(Some(protocol));
                self.call(|protocol, transport| protocol.connection_made(transport));
                self.finish_up();
            }
            None => self.close(Lost::Done),
        }
    }

    fn fail_to_connect(&self, error: io::Error) {
        let factory = self.with_extra(|extra| extra.factory.take());
        let peer = self.peer();
        self.close(Lost::Aborted);
        if let Some(factory) = factory {
            factory.connection_failed(peer, error);
        }
    }

    /// Calls the protocol, which is taken out for that time: whatever it does, it is not called again meanwhile.
    #[inline]
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
        if self.is(LOSING | LOSING_WRITE | ABORTED) {
            self.end();
        }
    }

    fn end(&self) {
        if self.is(CLOSED) {
            return;
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

    fn finish_writing(&self) {
        let Some(socket) = self.0.socket.take() else {
            return;
        };
        let finished = socket.finish();
        self.0.socket.set(Some(socket));
        if let Err(error) = finished {
            self.break_down(error);
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
        drop(self.0.extra.take());
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
    fn is(&self, any: u16) -> bool {
        self.0.flags.get() & any != 0
    }

    #[inline]
    fn set(&self, flags: u16) {
        self.0.flags.set(self.0.flags.get() | flags);
    }

    #[inline]
    fn clear(&self, flags: u16) {
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
