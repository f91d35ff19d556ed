//! One connection of the floor: reads, answers whole requests, keeps a partial one.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;

use mio::net::TcpStream;
use poetry::TransformService;
use poetry::limits::FRAME_BYTES_MAX;

use super::wire::{Cut, cut};

/// Size of the read buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// The buffers and the service that all connections share.
pub(super) struct Shared {
    buffer: Box<[u8]>,
    replies: Vec<u8>,
    service: TransformService,
}

impl Shared {
    pub(super) fn new(keep_alive: bool) -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            replies: Vec::new(),
            service: TransformService {
                keep_alive,
                lab: None,
                offload: false,
            },
        }
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    /// The start of a request whose end has not arrived.
    partial: Vec<u8>,
    /// Replies the kernel has not taken yet.
    unsent: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are read and answered.
    Answering,
    /// No more requests are answered; unsent replies still go out, and input is discarded (S7).
    Ending,
    /// The write side is shut down; input is discarded until the peer closes (S7).
    Draining,
}

/// A connection's state after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It stays open.
    Open,
    /// It stays open, and the kernel has not taken all of its replies.
    Unsent,
    /// It must be closed.
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

    /// Handles an event. `to_the_end` reads on to the peer's FIN, which has arrived.
    #[inline(always)]
    pub(super) fn serve(&mut self, to_the_end: bool, shared: &mut Shared) -> Status {
        match self.on_event(to_the_end, shared) {
            Ok(Status::Open) if !self.unsent.is_empty() => Status::Unsent,
            Ok(status) => status,
            Err(_) => Status::Ended,
        }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    // Inlined at both call sites, after an accept and after an event.
    #[inline(always)]
    fn on_event(&mut self, to_the_end: bool, shared: &mut Shared) -> io::Result<Status> {
        if !self.unsent.is_empty() {
            self.send_rest()?;
        }
        loop {
            match self.stream.read(&mut shared.buffer) {
                Ok(0) => return self.peer_finished(),
                Ok(bytes) => {
                    if self.state == State::Answering {
                        self.answer(bytes, shared)?;
                    }
                    // A short read has emptied the socket; more bytes bring another event.
                    if bytes < shared.buffer.len() && !to_the_end {
                        return Ok(Status::Open);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Status::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers all whole requests with one write; in one-shot mode, only the first.
    #[inline(always)]
    fn answer(&mut self, bytes: usize, shared: &mut Shared) -> io::Result<()> {
        let read = &shared.buffer[..bytes];
        shared.replies.clear();
        let answered = if self.partial.is_empty() {
            answer_all(read, &shared.service, &mut shared.replies)
        } else {
            self.partial.extend_from_slice(read);
            answer_all(&self.partial, &shared.service, &mut shared.replies)
        };
        match answered {
            Answered::Rest([]) => self.partial = Vec::new(),
            Answered::Rest(rest) => self.partial = rest.to_vec(),
            Answered::Last => self.state = State::Ending,
        }
        self.send(&shared.replies)
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

    /// Handles the peer's FIN; replies may still be owed to it (S6).
    fn peer_finished(&mut self) -> io::Result<Status> {
        if self.unsent.is_empty() {
            return Ok(Status::Ended);
        }
        if self.state == State::Answering {
            self.state = State::Ending;
        }
        Ok(Status::Open)
    }
}

/// The input left after answering.
enum Answered<'i> {
    /// The start of the next request; empty if none of it has arrived.
    Rest(&'i [u8]),
    /// The last request was answered or refused.
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
