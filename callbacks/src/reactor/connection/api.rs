//! What a protocol, or anybody who has a transport, may ask of it.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{
    ABORTED, BLOCKED, CLOSED, CONNECTING, LOSING, LOSING_WRITE, NEVER, PAUSED, PeerAddress,
    READABLE, TAKEN, Transport,
};
use crate::protocol::Producer;
use crate::reactor::{Reactor, nanos};

/// What a protocol may do.
impl Transport {
    /// Sends `bytes` behind all that was written before, and says how many of them the kernel has taken at once. The
    /// rest is kept, and [`data_sent`](crate::Protocol::data_sent) tells how it goes. After the write side was lost: nothing.
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
    /// [`resume_producing`](crate::Protocol::resume_producing) is called. For bytes that are shared by many.
    pub fn offer(&self, bytes: &[u8]) -> usize {
        if self.is(CONNECTING | BLOCKED | LOSING | LOSING_WRITE | ABORTED | CLOSED) {
            return 0;
        }
        let taken = self.send(bytes);
        if taken > 0 {
            self.set(TAKEN);
        }
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
    ///
    /// ```
    /// use callbacks::{Address, Factory, MemoryReactor, Protocol, Transport};
    /// use std::rc::Rc;
    ///
    /// /// Writes, and then ends the connection, in the one way or the other.
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
    ///     peer.limit_room(2); // It takes two bytes, and the rest has to wait.
    ///     peer.send(b"x");
    ///     reactor.settle();
    ///     peer.limit_room(2);
    ///     reactor.settle();
    ///     assert!(peer.is_closed());
    /// }
    /// assert_eq!(loses.received(), b"ahoy");
    /// assert_eq!(aborts.received(), b"ah");
    /// ```
    pub fn abort_connection(&self) {
        self.set(ABORTED);
        self.ask_attention();
    }

    /// Calls [`timeout_connection`](crate::Protocol::timeout_connection) once, `time` from the beginning of this turn,
    /// unless this is called again before; `None`: not at all. Costs next to nothing, however often it is called: it does
    /// not even ask what time it is.
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

    /// Tells `producer` to wait while more than 64 KiB are unsent, to go on when all of it is sent, and to stop when the
    /// connection is gone.
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

    /// What its peer sends has nowhere to go: it ends, once all that was written has been taken.
    fn stop_producing(&self) {
        self.lose_connection();
    }
}
