//! One connection of the floor: read, answer what is whole, keep what is not.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;

use mio::net::TcpStream;
use poetry::TransformService;
use poetry::limits::FRAME_BYTES_MAX;

use super::wire::{Cut, cut};

/// Bytes taken from a socket at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What all connections use.
pub(super) struct Desk {
    buffer: Box<[u8]>,
    replies: Vec<u8>,
    service: TransformService,
}

impl Desk {
    pub(super) fn new(keep_alive: bool) -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            replies: Vec::new(),
            service: TransformService {
                keep_alive,
                lab: None,
            },
        }
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    /// The beginning of a request that the network has cut.
    partial: Vec<u8>,
    /// Replies the kernel has not taken yet.
    unsent: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are read and answered.
    Answering,
    /// No request will be answered any more; what is unsent still goes out. What comes is discarded (S7).
    Ending,
    /// The write side is shut down; what comes is discarded until the peer closes (S7).
    Draining,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Open,
    /// It goes on, and the kernel has not taken all of its replies.
    Unsent,
    /// It is to be closed.
    Ended,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            unsent: Vec::new(),
            state: State::Answering,
        }
    }

    /// Does what an event allows. With `to_the_end`, that the peer has finished sending is known, and is read.
    #[inline(always)]
    pub(super) fn serve(&mut self, to_the_end: bool, desk: &mut Desk) -> Fate {
        match self.go_on(to_the_end, desk) {
            Ok(Fate::Open) if !self.unsent.is_empty() => Fate::Unsent,
            Ok(fate) => fate,
            Err(_) => Fate::Ended,
        }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    // It stands in two places, after an accept and after an event, and is no call in either.
    #[inline(always)]
    fn go_on(&mut self, to_the_end: bool, desk: &mut Desk) -> io::Result<Fate> {
        if !self.unsent.is_empty() {
            self.send_rest()?;
        }
        loop {
            match self.stream.read(&mut desk.buffer) {
                Ok(0) => return self.peer_finished(),
                Ok(bytes) => {
                    if self.state == State::Answering {
                        self.answer(bytes, desk)?;
                    }
                    // A short read has emptied the socket: what comes next is told by the next event.
                    if bytes < desk.buffer.len() && !to_the_end {
                        return Ok(Fate::Open);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Fate::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers every request that has come whole with one write, in one-shot the first.
    #[inline(always)]
    fn answer(&mut self, bytes: usize, desk: &mut Desk) -> io::Result<()> {
        let read = &desk.buffer[..bytes];
        desk.replies.clear();
        let answered = if self.partial.is_empty() {
            answer_all(read, &desk.service, &mut desk.replies)
        } else {
            self.partial.extend_from_slice(read);
            answer_all(&self.partial, &desk.service, &mut desk.replies)
        };
        match answered {
            Answered::Rest([]) => self.partial = Vec::new(),
            Answered::Rest(rest) => self.partial = rest.to_vec(),
            Answered::Last => self.state = State::Ending,
        }
        self.send(&desk.replies)
    }

    #[inline]
    fn send(&mut self, replies: &[u8]) -> io::Result<()> {
        if self.unsent.is_empty() && !replies.is_empty() {
            match self.stream.write(replies) {
                Ok(bytes) if bytes == replies.len() => {}
                Ok(bytes) => self.unsent.extend_from_slice(&replies[bytes..]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(replies);
                }
                Err(error) => return Err(error),
            }
        } else {
            self.unsent.extend_from_slice(replies);
        }
        self.shut_down_when_sent()
    }

    #[cold]
    fn send_rest(&mut self) -> io::Result<()> {
        let unsent = mem::take(&mut self.unsent);
        self.send(&unsent)
    }

    #[inline]
    fn shut_down_when_sent(&mut self) -> io::Result<()> {
        if self.state == State::Ending && self.unsent.is_empty() {
            self.state = State::Draining;
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// The peer has finished sending; it may still be owed replies (S6).
    fn peer_finished(&mut self) -> io::Result<Fate> {
        if self.unsent.is_empty() {
            return Ok(Fate::Ended);
        }
        if self.state == State::Answering {
            self.state = State::Ending;
        }
        Ok(Fate::Open)
    }
}

/// What is left after answering.
enum Answered<'i> {
    /// The beginning of the next request, if any of it has come.
    Rest(&'i [u8]),
    /// There will be no next request.
    Last,
}

/// Appends the replies to all whole requests in `input`.
#[inline(always)]
fn answer_all<'i>(
    mut input: &'i [u8],
    service: &TransformService,
    replies: &mut Vec<u8>,
) -> Answered<'i> {
    loop {
        match cut(input) {
            Cut::Frame(frame, rest) => {
                let refused = service.answer(frame, FRAME_BYTES_MAX, replies).is_err();
                if refused || !service.keep_alive {
                    return Answered::Last;
                }
                input = rest;
            }
            Cut::More => return Answered::Rest(input),
            Cut::Wrong => return Answered::Last,
        }
    }
}
