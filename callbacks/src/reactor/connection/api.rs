//! What protocols, and other holders of a transport, may do with it.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use poetry::event::Wait;

use super::{Input, PeerAddress, Phase, Transport};
use crate::protocol::Producer;
use crate::reactor::Reactor;

impl Transport {
    /// Sends `bytes` behind everything written before, and returns how many of them the kernel took at once. The rest is
    /// kept, and [`data_sent`](crate::Protocol::data_sent) reports its progress. After the write side was lost, this does
    /// nothing.
    pub fn write(&self, bytes: &[u8]) -> usize {
        if !self.takes_output() {
            return 0;
        }
        let taken = if self.is_blocked() {
            0
        } else {
            self.send(bytes)
        };
        if taken < bytes.len() && self.takes_output() {
            self.keep_unsent(&bytes[taken..]);
        }
        taken
    }

    /// As [`write`](Self::write), but keeps nothing: the caller offers the rest again when
    /// [`resume_producing`](crate::Protocol::resume_producing) is called. For bytes that the caller holds anyway.
    #[inline]
    pub fn offer(&self, bytes: &[u8]) -> usize {
        self.offer_with(bytes.len(), || self.send(bytes))
    }

    /// As [`offer`](Self::offer), for `pieces` that follow one another, in one system call (Twisted's `writeSequence`).
    pub fn offer_all(&self, pieces: &[IoSlice<'_>]) -> usize {
        if let [piece] = pieces {
            return self.offer(piece);
        }
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        self.offer_with(bytes, || self.send_all(pieces))
    }

    #[inline]
    fn offer_with(&self, bytes: usize, send: impl FnOnce() -> usize) -> usize {
        if !self.takes_output() || self.is_blocked() {
            return 0;
        }
        let taken = send();
        if taken > 0 {
            self.0.made_progress.set(true);
        }
        if taken < bytes && self.takes_output() {
            self.block();
        }
        taken
    }

    /// Sets whether the last segment of what is written waits for FIN, so that both leave together. The caller then ends the
    /// connection or its write side at once after it has written.
    pub fn set_with_fin(&self, with_fin: bool) {
        self.0.sends_with_fin.set(with_fin);
    }

    /// Returns the bytes written and not taken yet.
    pub fn unsent(&self) -> usize {
        if !self.is_blocked() {
            return 0;
        }
        self.with_extra(|extra| extra.unsent.len() - extra.sent)
    }

    /// Returns whether something written or offered waits for room in the kernel.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.0.blocked.get()
    }

    /// Ends this connection's turn (S24): of the current [`data_received`](crate::Protocol::data_received) or
    /// [`next_turn`](crate::Protocol::next_turn), the bytes after the first `consumed` are kept and come again in the
    /// connection's next turn, after every other ready connection has had one. Nothing is read before that.
    pub fn end_turn_at(&self, consumed: usize) {
        self.with_extra(|extra| extra.kept_from = consumed);
        self.0.keeps_bytes.set(true);
    }

    /// Returns whether bytes that were read wait for the next turn.
    #[inline]
    pub fn keeps_bytes(&self) -> bool {
        self.0.keeps_bytes.get()
    }

    /// Returns what this end waits for: room, its next turn, or bytes from the peer.
    pub fn waits_for(&self) -> Wait {
        if self.is_blocked() {
            Wait::Write
        } else if self.keeps_bytes() {
            Wait::Turn
        } else {
            Wait::Read
        }
    }

    /// Returns the reactor's time at the start of this turn.
    #[inline]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.core.now.get())
    }

    /// Closes the connection once everything written has been taken. Nothing more is read (R9).
    pub fn lose_connection(&self) {
        self.advance_to(Phase::Losing);
        self.request_turn();
    }

    /// Sends FIN once everything written has been taken, and goes on reading.
    pub fn lose_write_connection(&self) {
        if self.phase() == Phase::Open {
            self.advance_to(Phase::FinPending);
            self.request_turn();
        }
    }

    /// Closes the connection and drops what was not taken (R9). The peer sees a reset, so that it cannot take a part of what
    /// it is owed for the whole; only after [`lose_write_connection`](Self::lose_write_connection) has sent FIN is the close a
    /// plain one.
    ///
    /// ```
    /// use callbacks::{Address, Factory, MemoryReactor, Protocol, Transport};
    /// use std::rc::Rc;
    ///
    /// /// Writes, then ends the connection in the given way.
    /// #[derive(Clone)]
    /// struct Ends(fn(&Transport));
    ///
    /// impl Protocol for Ends {
    ///     fn data_received(&mut self, transport: &Transport, _: &[u8]) {
    ///         transport.write(b"ahoy");
    ///         (self.0)(transport);
    ///     }
    /// }
    ///
    /// impl Factory for Ends {
    ///     fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
    ///         Some(Box::new(self.clone()))
    ///     }
    /// }
    ///
    /// let reactor = MemoryReactor::new();
    /// let ends = [Transport::lose_connection, Transport::abort_connection];
    /// let [loses, aborts] = ends.map(|end| reactor.accept(&(Rc::new(Ends(end)) as _)));
    /// for peer in [&loses, &aborts] {
    ///     peer.limit_room(2); // The peer takes two bytes; the others have to wait.
    ///     peer.send(b"x");
    ///     reactor.settle();
    ///     peer.limit_room(2);
    ///     reactor.settle();
    ///     assert!(peer.is_closed());
    /// }
    /// assert_eq!(loses.received(), b"ahoy");
    /// assert_eq!(aborts.received(), b"ah");
    /// assert!(aborts.is_reset() && !loses.is_reset());
    /// ```
    pub fn abort_connection(&self) {
        self.advance_to(Phase::Aborted);
        self.request_turn();
    }

    /// Calls [`woken`](crate::Protocol::woken) in this connection's next turn. A Deferred's callback uses this when the
    /// connection waits for its result: there the protocol itself is out of reach.
    ///
    /// ```
    /// use callbacks::{Address, Deferred, Factory, MemoryReactor, Protocol, Transport};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// /// Waits for a poem and sends it.
    /// struct Waits(Option<Deferred<&'static str>>);
    ///
    /// impl Protocol for Waits {
    ///     fn connection_made(&mut self, transport: &Transport) {
    ///         let waiting = transport.clone();
    ///         self.0.as_ref().unwrap().also(move |poem| {
    ///             waiting.wake();
    ///             poem
    ///         });
    ///     }
    ///
    ///     fn woken(&mut self, transport: &Transport) {
    ///         let poem = self.0.take().unwrap().take_result().unwrap();
    ///         transport.write(poem.unwrap().as_bytes());
    ///         transport.lose_connection();
    ///     }
    ///
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    /// }
    ///
    /// struct WaitsFactory(Cell<Option<Deferred<&'static str>>>);
    ///
    /// impl Factory for WaitsFactory {
    ///     fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
    ///         Some(Box::new(Waits(self.0.take())))
    ///     }
    /// }
    ///
    /// let (trigger, poem) = Deferred::new();
    /// let reactor = MemoryReactor::new();
    /// let peer = reactor.accept(&(Rc::new(WaitsFactory(Cell::new(Some(poem)))) as Rc<dyn Factory>));
    /// trigger.callback("Ahoy");
    /// reactor.settle();
    /// assert_eq!(peer.received(), b"Ahoy");
    /// ```
    pub fn wake(&self) {
        self.0.woken.set(true);
        self.queue();
    }

    /// Pauses `producer` while more than 64 KiB are unsent, resumes it when all of it is sent, and stops it when the
    /// connection is closed.
    pub fn register_producer(&self, producer: Rc<dyn Producer>) {
        if self.phase() != Phase::Closed {
            self.with_extra(|extra| extra.producer = Some(producer));
        }
    }

    /// Forgets the producer.
    pub fn unregister_producer(&self) {
        let producer = self.with_extra(|extra| extra.producer.take());
        self.drop_idle_extra();
        drop(producer);
    }

    /// Returns the peer's address.
    pub fn peer(&self) -> SocketAddr {
        match &self.0.peer {
            PeerAddress::V4(address) => SocketAddr::V4(*address),
            PeerAddress::V6(address) => SocketAddr::V6(**address),
        }
    }

    /// Asks the system for this end's address.
    pub fn host(&self) -> Option<SocketAddr> {
        let socket = self.0.socket.take()?;
        let address = socket.local().ok();
        self.0.socket.set(Some(socket));
        address
    }

    /// Returns whether the connection is closed.
    pub fn is_closed(&self) -> bool {
        self.phase() == Phase::Closed
    }

    /// Returns the reactor of this connection.
    pub fn reactor(&self) -> Reactor {
        Reactor {
            core: Rc::clone(&self.0.core),
        }
    }
}

/// A transport produces what its peer sends. Registered as the producer of another transport, it passes back-pressure on
/// (R9).
impl Producer for Transport {
    fn pause_producing(&self) {
        self.0.paused.set(true);
    }

    fn resume_producing(&self) {
        self.0.paused.set(false);
        if self.0.input.get() != Input::Drained || self.0.keeps_bytes.get() {
            // During a call too: the read that made the call stopped when the connection was paused.
            self.queue();
        }
    }

    /// Nothing takes what this peer sends any more, so its connection ends once everything written has been taken.
    fn stop_producing(&self) {
        self.lose_connection();
    }
}
