//! One connection of the generator: what it has still to send and to receive, and the comparison of every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::{Ledger, LoadError, Plan};

/// Bytes taken from a socket at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What all connections use: the bytes of the exchange, the buffer, the books.
pub(super) struct Desk {
    /// The request, repeated, so that what is due is one slice wherever the last write ended.
    requests: Vec<u8>,
    request_len: usize,
    /// The reply, repeated, so that what came is compared as one slice wherever the last read ended.
    replies: Vec<u8>,
    reply_len: usize,
    buffer: Box<[u8]>,
    keep_alive: bool,
    /// Requests that may still be sent.
    pub(super) left: u64,
    /// Open connections without a first reply.
    pub(super) fresh: usize,
    pub(super) ledger: Ledger,
}

impl Desk {
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
            fresh: 0,
            ledger: Ledger::default(),
        }
    }

    /// Takes up to `wanted` requests from those left.
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
    /// Bytes of requests to be written, and where in a request the next one lies.
    unsent: usize,
    sent_at: usize,
    /// Bytes of replies to be received, and where in a reply the next one lies.
    owed: usize,
    at: usize,
    /// A byte has been taken by the kernel, so the connection was made.
    made: bool,
    /// A whole reply has come.
    greeted: bool,
    /// Nothing more will be sent.
    finished: bool,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Open,
    /// The server closed it, and owed nothing.
    Ended,
}

/// What went wrong with a connection.
pub(super) enum Trouble {
    /// It could not be made.
    NotMade(io::Error),
    /// The run is void.
    Void(LoadError),
}

impl From<LoadError> for Trouble {
    fn from(error: LoadError) -> Self {
        Self::Void(error)
    }
}

impl Connection {
    /// A connection that is being made, with up to `depth` requests to send.
    pub(super) fn new(stream: TcpStream, depth: usize, desk: &mut Desk) -> Self {
        let requests = desk.take(depth);
        desk.fresh += 1;
        Self {
            stream,
            unsent: requests * desk.request_len,
            sent_at: 0,
            owed: requests * desk.reply_len,
            at: 0,
            made: false,
            greeted: false,
            finished: false,
        }
    }

    /// Writes what is due, until the kernel takes no more.
    #[inline]
    pub(super) fn send(&mut self, desk: &mut Desk) -> Result<(), Trouble> {
        while self.unsent > 0 {
            let due = &desk.requests[self.sent_at..];
            let due = &due[..due.len().min(self.unsent)];
            match self.stream.write(due) {
                Ok(bytes) => self.sent(bytes, desk),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Linux says so of a socket that is still connecting.
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
    fn sent(&mut self, bytes: usize, desk: &mut Desk) {
        if !self.made {
            self.made = true;
            desk.ledger.connections += 1;
        }
        let end = self.sent_at + bytes;
        let whole = whole(end, desk.request_len);
        self.sent_at = end - whole * desk.request_len;
        self.unsent -= bytes;
        desk.ledger.requests += whole as u64;
        desk.ledger.bytes_out += bytes as u64;
    }

    /// Reads and compares what has come, and sends the next requests. With `to_the_end`, that the server has
    /// finished sending is known, and is read.
    #[inline]
    pub(super) fn receive(&mut self, to_the_end: bool, desk: &mut Desk) -> Result<Fate, Trouble> {
        loop {
            match self.stream.read(&mut desk.buffer) {
                Ok(0) => return self.ended(),
                Ok(bytes) => {
                    self.compare(bytes, desk)?;
                    // A short read has emptied the socket: what comes next is told by the next event.
                    if bytes < desk.buffer.len() && !to_the_end {
                        return Ok(Fate::Open);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Fate::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    #[inline]
    fn compare(&mut self, bytes: usize, desk: &mut Desk) -> Result<(), Trouble> {
        if bytes > self.owed {
            let bytes = bytes - self.owed;
            return Err(LoadError::Excess { bytes }.into());
        }
        let end = self.at + bytes;
        if desk.replies[self.at..end] != desk.buffer[..bytes] {
            return Err(desk.wrong_byte(self.at, bytes).into());
        }
        let whole = whole(end, desk.reply_len);
        self.at = end - whole * desk.reply_len;
        self.owed -= bytes;
        desk.ledger.bytes_in += bytes as u64;
        desk.ledger.answered += whole as u64;
        if whole > 0 && !self.greeted {
            self.greeted = true;
            desk.fresh -= 1;
        }
        match whole > 0 && desk.keep_alive {
            true => self.go_on(whole, desk),
            false => Ok(()),
        }
    }

    /// Sends as many requests as were answered, or says that there will be none.
    #[inline]
    fn go_on(&mut self, answered: usize, desk: &mut Desk) -> Result<(), Trouble> {
        let requests = desk.take(answered);
        self.unsent += requests * desk.request_len;
        self.owed += requests * desk.reply_len;
        if self.owed > 0 {
            return self.send(desk);
        }
        self.finished = true;
        // The server then closes, which also shows that it had nothing more to say.
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(|error| LoadError::Lost(error).into())
    }

    fn ended(&self) -> Result<Fate, Trouble> {
        match self.owed {
            0 => Ok(Fate::Ended),
            owed => Err(LoadError::ClosedEarly { owed }.into()),
        }
    }

    #[cold]
    fn broken(&self, error: io::Error) -> Trouble {
        let reset = matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        );
        if self.made || reset {
            LoadError::Lost(error).into()
        } else {
            Trouble::NotMade(error)
        }
    }
}

/// How many whole messages of `len` bytes end by `end`; the commonest answers need no division.
#[inline]
fn whole(end: usize, len: usize) -> usize {
    match end {
        _ if end == len => 1,
        _ if end < len => 0,
        _ => end / len,
    }
}
