//! One connection of the floor: read, answer what is whole, keep what is not.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;

use mio::net::TcpStream;
use poetry::TransformService;
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::{Decoder, Frames};

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
    decoder: Decoder,
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
    /// It is to be closed.
    Ended,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            decoder: Decoder::new(FRAME_BYTES_MAX),
            unsent: Vec::new(),
            state: State::Answering,
        }
    }

    /// Does what an event allows. With `to_the_end`, that the peer has finished sending is known, and is read.
    #[inline]
    pub(super) fn serve(&mut self, to_the_end: bool, desk: &mut Desk) -> Fate {
        self.go_on(to_the_end, desk).unwrap_or(Fate::Ended)
    }

    #[inline]
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
    #[inline]
    fn answer(&mut self, bytes: usize, desk: &mut Desk) -> io::Result<()> {
        desk.replies.clear();
        let frames = self.decoder.feed(&desk.buffer[..bytes]);
        let goes_on = answer_frames(frames, &desk.service, &mut desk.replies);
        if !goes_on {
            self.state = State::Ending;
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

/// Appends the replies to all whole requests; says whether more requests will be answered.
#[inline]
fn answer_frames(
    mut frames: Frames<'_, '_>,
    service: &TransformService,
    replies: &mut Vec<u8>,
) -> bool {
    loop {
        match frames.next() {
            Ok(Some(frame)) => {
                if service.answer(frame, FRAME_BYTES_MAX, replies).is_err() {
                    return false;
                }
                if !service.keep_alive {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
