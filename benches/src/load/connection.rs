//! One connection of the generator: bytes left to send and to receive, and the comparison of every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::{Ledger, LoadError, Plan};

/// Size of the read buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// The state that all connections share: the exchange, the read buffer and the ledger.
pub(super) struct Shared {
    /// The request, repeated, so that unsent bytes are one slice wherever the last write ended.
    requests: Vec<u8>,
    request_len: usize,
    /// The reply, repeated, so that received bytes are compared as one slice wherever the last read ended.
    replies: Vec<u8>,
    reply_len: usize,
    buffer: Box<[u8]>,
    keep_alive: bool,
    /// Requests that may still be sent.
    pub(super) left: u64,
    /// Open connections without a first reply.
    pub(super) unanswered: usize,
    pub(super) ledger: Ledger,
}

impl Shared {
    pub(super) fn new(plan: &Plan, left: u64) -> Self {
        let exchange = &plan.exchange;
        Self {
            requests: exchange.request.repeat(plan.depth + 1),
            request_len: exchange.request.len(),
            replies: exchange.reply.repeat(plan.depth + 1),
            reply_len: exchange.reply.len(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            keep_alive: plan.keep_alive,
            left,
            unanswered: 0,
            ledger: Ledger::default(),
        }
    }

    /// Takes up to `wanted` of the requests left.
    fn take(&mut self, wanted: usize) -> usize {
        let taken = self.left.min(wanted as u64);
        self.left -= taken;
        taken as usize
    }

    #[cold]
    fn wrong_byte(&self, at: usize, bytes: usize) -> LoadError {
        let expected = &self.replies[at..at + bytes];
        let wrong = expected
            .iter()
            .zip(&self.buffer[..bytes])
            .position(|(expected, found)| expected != found)
            .unwrap_or(0);
        LoadError::WrongByte {
            reply: self.ledger.answered + ((at + wrong) / self.reply_len) as u64,
            at: (at + wrong) % self.reply_len,
            expected: expected[wrong],
            found: self.buffer[wrong],
        }
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// Bytes of requests to write, and the offset of the next one in its request.
    unsent: usize,
    sent_at: usize,
    /// Bytes of replies to receive, and the offset of the next one in its reply.
    owed: usize,
    at: usize,
    /// The kernel has taken a byte, so the connection was made.
    made: bool,
    /// A whole reply has arrived.
    has_reply: bool,
    /// Nothing more will be sent.
    finished: bool,
}

/// A connection's state after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It stays open.
    Open,
    /// The server closed it, and owed nothing.
    Ended,
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
    /// Creates a connection that is still connecting, with up to `depth` requests to send.
    pub(super) fn new(stream: TcpStream, depth: usize, shared: &mut Shared) -> Self {
        let requests = shared.take(depth);
        shared.unanswered += 1;
        Self {
            stream,
            unsent: requests * shared.request_len,
            sent_at: 0,
            owed: requests * shared.reply_len,
            at: 0,
            made: false,
            has_reply: false,
            finished: false,
        }
    }

    /// Writes unsent bytes until the kernel takes no more.
    #[inline]
    pub(super) fn send(&mut self, shared: &mut Shared) -> Result<(), ConnectionError> {
        while self.unsent > 0 {
            let due = &shared.requests[self.sent_at..];
            let due = &due[..due.len().min(self.unsent)];
            match self.stream.write(due) {
                Ok(bytes) => self.sent(bytes, shared),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Linux reports this for a socket that is still connecting.
                Err(error) if error.kind() == ErrorKind::NotConnected && !self.made => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    #[inline]
    fn sent(&mut self, bytes: usize, shared: &mut Shared) {
        if !self.made {
            self.made = true;
            shared.ledger.connections += 1;
        }
        let end = self.sent_at + bytes;
        let whole = whole(end, shared.request_len);
        self.sent_at = end - whole * shared.request_len;
        self.unsent -= bytes;
        shared.ledger.requests += whole as u64;
        shared.ledger.bytes_out += bytes as u64;
    }

    /// Reads and compares received bytes, and sends the next requests. `to_the_end` reads on to the server's FIN, which
    /// has arrived.
    #[inline]
    pub(super) fn receive(
        &mut self,
        to_the_end: bool,
        shared: &mut Shared,
    ) -> Result<Status, ConnectionError> {
        loop {
            match self.stream.read(&mut shared.buffer) {
                Ok(0) => return self.ended(),
                Ok(bytes) => {
                    self.compare(bytes, shared)?;
                    // A short read has emptied the socket; more bytes bring another event.
                    if bytes < shared.buffer.len() && !to_the_end {
                        return Ok(Status::Open);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Status::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    #[inline]
    fn compare(&mut self, bytes: usize, shared: &mut Shared) -> Result<(), ConnectionError> {
        if bytes > self.owed {
            return Err(self.excess(bytes, shared).into());
        }
        let end = self.at + bytes;
        if shared.replies[self.at..end] != shared.buffer[..bytes] {
            return Err(shared.wrong_byte(self.at, bytes).into());
        }
        let whole = whole(end, shared.reply_len);
        self.at = end - whole * shared.reply_len;
        self.owed -= bytes;
        shared.ledger.bytes_in += bytes as u64;
        shared.ledger.answered += whole as u64;
        if whole > 0 && !self.has_reply {
            self.has_reply = true;
            shared.unanswered -= 1;
        }
        match whole > 0 && shared.keep_alive {
            true => self.send_next(whole, shared),
            false => Ok(()),
        }
    }

    /// Returns the error of receiving more bytes than are owed. A wrong byte among those owed says more: the server does
    /// not speak the protocol.
    #[cold]
    fn excess(&self, bytes: usize, shared: &Shared) -> LoadError {
        let owed = &shared.replies[self.at..][..self.owed];
        match owed == &shared.buffer[..self.owed] {
            true => LoadError::Excess {
                bytes: bytes - self.owed,
            },
            false => shared.wrong_byte(self.at, self.owed),
        }
    }

    /// Sends as many requests as were answered, or FIN if none are left.
    #[inline]
    fn send_next(&mut self, answered: usize, shared: &mut Shared) -> Result<(), ConnectionError> {
        let requests = shared.take(answered);
        self.unsent += requests * shared.request_len;
        self.owed += requests * shared.reply_len;
        if self.owed > 0 {
            return self.send(shared);
        }
        self.finished = true;
        // The server then closes, which also shows that it sends nothing more.
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(|error| LoadError::Lost(error).into())
    }

    fn ended(&self) -> Result<Status, ConnectionError> {
        match self.owed {
            0 => Ok(Status::Ended),
            owed => Err(LoadError::ClosedEarly { owed }.into()),
        }
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
