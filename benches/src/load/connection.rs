//! One connection of the generator: bytes left to send and to receive, and the comparison of every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use socket2::SockRef;

use super::LoadError;
use super::shared::Shared;

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    slot: usize,
    /// The exchange that is under way: an index into [`Shared::wires`].
    kind: usize,
    /// Bytes of requests to write, and the offset of the next one in its request.
    unsent: usize,
    sent_at: usize,
    /// Bytes of replies to receive, and the offset of the next one in its reply.
    owed: usize,
    at: usize,
    /// The requests in flight in the slot's ring of times: the first, and their number.
    oldest: usize,
    in_flight: usize,
    /// The bytes of the reply after which the client leaves.
    leaves_after: Option<usize>,
    /// The connection is known to be made.
    made: bool,
    /// It counts in [`Shared::pending`].
    pending: bool,
    /// Nothing more will be sent.
    finished: bool,
}

/// A connection's state after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It stays open.
    Open,
    /// It stays open, and has just become free for a request of an open loop.
    Free,
    /// The server closed it, and owed nothing.
    Ended,
    /// The client has left; dropping the connection resets it.
    Left,
}

/// Why a connection failed.
pub(super) enum ConnectionError {
    /// It could not be made.
    NotMade(io::Error),
    /// The run is void.
    Void(LoadError),
}

impl From<LoadError> for ConnectionError {
    fn from(error: LoadError) -> Self {
        Self::Void(error)
    }
}

impl Connection {
    /// Creates a connection that is still connecting, without a request.
    pub(super) fn new(stream: TcpStream, slot: usize, shared: &mut Shared) -> Self {
        shared.pending += 1;
        Self {
            stream,
            slot,
            kind: 0,
            unsent: 0,
            sent_at: 0,
            owed: 0,
            at: 0,
            oldest: 0,
            in_flight: 0,
            leaves_after: None,
            made: false,
            pending: true,
            finished: false,
        }
    }

    /// Takes up to `wanted` requests, which began at `begun`, to be sent by [`Connection::send`].
    #[inline]
    pub(super) fn ask(&mut self, wanted: usize, begun: u64, shared: &mut Shared) {
        let requests = shared.take(wanted);
        self.kind = shared.choose_kind();
        if !shared.keep_alive {
            self.leaves_after = shared.choose_leaving();
        }
        let wire = &shared.wires[self.kind];
        self.unsent += requests * wire.request_len;
        self.owed += requests * wire.reply_len;
        for _ in 0..requests {
            let end = wrapped(self.oldest + self.in_flight, shared.depth);
            shared.begun[self.slot * shared.depth + end] = begun;
            self.in_flight += 1;
        }
    }

    /// Handles an event: sends and receives what is possible.
    #[inline]
    pub(super) fn handle(
        &mut self,
        event: &Event,
        shared: &mut Shared,
    ) -> Result<Status, ConnectionError> {
        // A connection that has sent nothing is only made known by its event.
        if !self.made && self.unsent == 0 && event.is_writable() && !event.is_error() {
            self.make(shared);
        }
        match self.send(shared)? {
            Status::Open => self.receive(event.is_read_closed(), shared),
            left => Ok(left),
        }
    }

    /// Writes unsent bytes until the kernel takes no more.
    #[inline]
    pub(super) fn send(&mut self, shared: &mut Shared) -> Result<Status, ConnectionError> {
        while self.unsent > 0 {
            let due = &shared.wires[self.kind].requests[self.sent_at..];
            let due = &due[..due.len().min(self.unsent)];
            match self.stream.write(due) {
                Ok(bytes) => self.sent(bytes, shared),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Status::Open),
                // Linux reports this for a socket that is still connecting.
                Err(error) if error.kind() == ErrorKind::NotConnected && !self.made => {
                    return Ok(Status::Open);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        match self.leaves_after {
            Some(0) if self.made => self.leave(),
            _ => Ok(Status::Open),
        }
    }

    #[inline]
    fn sent(&mut self, bytes: usize, shared: &mut Shared) {
        if !self.made {
            self.make(shared);
        }
        let end = self.sent_at + bytes;
        let request_len = shared.wires[self.kind].request_len;
        let whole = whole(end, request_len);
        self.sent_at = end - whole * request_len;
        self.unsent -= bytes;
        shared.ledger.requests += whole as u64;
        shared.ledger.bytes_out += bytes as u64;
    }

    /// Notes that the connection was made.
    fn make(&mut self, shared: &mut Shared) {
        self.made = true;
        shared.ledger.connections += 1;
        shared.recorder.made(self.slot);
        if self.owed == 0 {
            self.settle(shared);
        } else if shared.wires[self.kind].is_unframed() {
            // Such servers count a connection as a request.
            shared.ledger.requests += 1;
        }
    }

    /// Stops counting as pending.
    #[inline]
    pub(super) fn settle(&mut self, shared: &mut Shared) {
        if self.pending {
            self.pending = false;
            shared.pending -= 1;
        }
    }

    /// Reads and compares received bytes, and sends the next requests. `to_the_end` reads on to the server's FIN, which
    /// has arrived.
    #[inline]
    fn receive(
        &mut self,
        to_the_end: bool,
        shared: &mut Shared,
    ) -> Result<Status, ConnectionError> {
        let mut status = Status::Open;
        loop {
            match self.stream.read(&mut shared.buffer) {
                Ok(0) => return self.ended(shared),
                Ok(bytes) => {
                    status = self.compare(bytes, shared)?;
                    // A short read has emptied the socket; more bytes bring another event.
                    if status == Status::Left || bytes < shared.buffer.len() && !to_the_end {
                        return Ok(status);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(status),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    #[inline]
    fn compare(&mut self, bytes: usize, shared: &mut Shared) -> Result<Status, ConnectionError> {
        if bytes > self.owed {
            return Err(self.excess(bytes, shared).into());
        }
        let end = self.at + bytes;
        let wire = &shared.wires[self.kind];
        if wire.replies[self.at..end] != shared.buffer[..bytes] {
            return Err(shared.wrong_byte(self.kind, self.at, bytes).into());
        }
        let is_unframed = wire.is_unframed();
        let whole = whole(end, wire.reply_len);
        self.at = end - whole * wire.reply_len;
        self.owed -= bytes;
        shared.ledger.bytes_in += bytes as u64;
        if !self.made {
            self.make(shared);
        }
        self.settle(shared);
        if self.leaves_after.is_some_and(|after| end >= after) {
            return self.leave();
        }
        if whole == 0 || is_unframed {
            return Ok(Status::Open);
        }
        self.answered(whole, shared);
        match (shared.keep_alive, shared.is_open_loop) {
            (false, _) => Ok(Status::Open),
            (true, true) if shared.left > 0 => Ok(Status::Free),
            (true, true) => self.finish().map(|()| Status::Open),
            (true, false) => self.send_next(whole, shared),
        }
    }

    /// Counts and times whole replies.
    #[inline]
    fn answered(&mut self, replies: usize, shared: &mut Shared) {
        shared.ledger.answered += replies as u64;
        for _ in 0..replies {
            let begun = shared.begun[self.slot * shared.depth + self.oldest];
            self.oldest = wrapped(self.oldest + 1, shared.depth);
            self.in_flight -= 1;
            let now = shared.received_at;
            shared.recorder.reply(self.slot, self.kind, begun, now);
        }
    }

    /// Returns the error of receiving more bytes than are owed. A wrong byte among those owed says more: the server does
    /// not speak the protocol.
    #[cold]
    fn excess(&self, bytes: usize, shared: &Shared) -> LoadError {
        let owed = &shared.wires[self.kind].replies[self.at..][..self.owed];
        match owed == &shared.buffer[..self.owed] {
            true => LoadError::Excess {
                bytes: bytes - self.owed,
            },
            false => shared.wrong_byte(self.kind, self.at, self.owed),
        }
    }

    /// Sends as many requests as were answered, or FIN if none are left.
    #[inline]
    fn send_next(
        &mut self,
        answered: usize,
        shared: &mut Shared,
    ) -> Result<Status, ConnectionError> {
        if shared.left > 0 {
            let now = shared.clock.now();
            self.ask(answered, now, shared);
        }
        match self.owed {
            0 => self.finish().map(|()| Status::Open),
            _ => self.send(shared),
        }
    }

    /// Sends FIN. The server then closes, which also shows that it sends nothing more.
    pub(super) fn finish(&mut self) -> Result<(), ConnectionError> {
        self.finished = true;
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if !self.made => Err(ConnectionError::NotMade(error)),
            Err(error) => Err(LoadError::Lost(error).into()),
            Ok(()) => Ok(()),
        }
    }

    /// Prepares the reset of a client that leaves.
    #[cold]
    fn leave(&self) -> Result<Status, ConnectionError> {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .map_err(LoadError::Generator)?;
        Ok(Status::Left)
    }

    fn ended(&mut self, shared: &mut Shared) -> Result<Status, ConnectionError> {
        let may_end = self.finished || !shared.keep_alive;
        if self.owed > 0 || !may_end {
            return Err(LoadError::ClosedEarly { owed: self.owed }.into());
        }
        if shared.wires[self.kind].is_unframed() {
            self.answered(self.in_flight, shared);
        }
        Ok(Status::Ended)
    }

    #[cold]
    fn broken(&self, error: io::Error) -> ConnectionError {
        let reset = matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        );
        if self.made || reset {
            LoadError::Lost(error).into()
        } else {
            ConnectionError::NotMade(error)
        }
    }
}

/// Returns the number of whole messages of `len` bytes in `end` bytes; the commonest cases need no division.
#[inline]
fn whole(end: usize, len: usize) -> usize {
    match end {
        _ if end == len => 1,
        _ if end < len => 0,
        _ => end / len,
    }
}

/// Returns `index`, which is below twice `len`, in a ring of `len`.
#[inline]
fn wrapped(index: usize, len: usize) -> usize {
    match index < len {
        true => index,
        false => index - len,
    }
}
