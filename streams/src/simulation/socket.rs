//! A socket in memory whose network is an adversary: it reads and writes little at a time, and often would block for no reason.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::simulation::log::{Log, Step};
use ::simulation::plan::Act;
use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Time;
use crate::connection::ByteStream;

/// Calls of one socket, beyond which the server is in a busy loop: plans send and take a few thousand bytes.
const CALLS_MAX: u32 = 200_000;

/// One socket. Clones are the same; the server's closes it when it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Socket(Rc<RefCell<Wire>>);

/// The server's end of a socket.
#[derive(Debug)]
pub(super) struct Served(Socket);

#[derive(Debug)]
struct Wire {
    arrived: VecDeque<u8>,
    finished: bool,
    /// The peer has reset the connection.
    reset: bool,
    room: usize,
    resets_on_close: bool,
    /// The server's task, if it waits for this socket.
    waker: Option<Waker>,
    calls: u32,
    log: Log,
    time: Time,
    rng: Rng,
}

impl Socket {
    pub(super) fn new(room: usize, time: Time, rng: Rng) -> Self {
        Self(Rc::new(RefCell::new(Wire {
            arrived: VecDeque::new(),
            finished: false,
            reset: false,
            room,
            resets_on_close: false,
            waker: None,
            calls: 0,
            log: Log::default(),
            time,
            rng,
        })))
    }

    /// The server gets its end.
    pub(super) fn accept(self) -> Served {
        self.0.borrow_mut().note(Step::Accepted);
        Served(self)
    }

    /// The peer acts.
    pub(super) fn act(&self, act: &Act) {
        let mut wire = self.0.borrow_mut();
        match act {
            Act::Send(bytes) => {
                wire.note_if_open(Step::Sent(bytes.clone()));
                wire.arrived.extend(bytes);
            }
            Act::Finish => {
                wire.note_if_open(Step::Finished);
                wire.finished = true;
            }
            Act::Reset => {
                wire.note_if_open(Step::Reset);
                wire.reset = true;
                if wire.rng.bool() {
                    // Not every system delivers what came before a reset.
                    wire.arrived.clear();
                }
            }
            Act::Take(bytes) => wire.room = wire.room.saturating_add(*bytes),
        }
        let waker = wire.waker.take();
        drop(wire);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn note_if_open(&self, step: Step) {
        self.0.borrow_mut().note_if_open(step);
    }

    pub(super) fn take_log(&self) -> Log {
        std::mem::take(&mut self.0.borrow_mut().log)
    }
}

impl Wire {
    fn note(&mut self, step: Step) {
        self.log.note(self.time.now(), step);
    }

    fn note_if_open(&mut self, step: Step) {
        if self.log.closed().is_none() {
            self.note(step);
        }
    }

    /// Begins a call of the server. It would block now and then, although the system has announced something.
    fn call(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.time.now();
        self.calls += 1;
        assert!(self.calls < CALLS_MAX, "the server is in a busy loop");
        if self.rng.u8(0..6) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Some of `most` bytes, at least one.
    fn some(&mut self, most: usize) -> usize {
        match self.rng.bool() {
            true => most,
            false => self.rng.usize(1..=most),
        }
    }
}

impl ByteStream for Served {
    fn reset_on_close(&self) {
        self.0.0.borrow_mut().resets_on_close = true;
    }
}

impl AsyncRead for Served {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.0.borrow_mut();
        std::task::ready!(wire.call(cx));
        let most = wire.arrived.len().min(buffer.remaining());
        if most > 0 {
            let count = wire.some(most);
            let bytes: Vec<u8> = wire.arrived.drain(..count).collect();
            buffer.put_slice(&bytes);
            wire.note(Step::Read(count));
            return Poll::Ready(Ok(()));
        }
        match (wire.reset, wire.finished) {
            (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (false, true) => Poll::Ready(Ok(())),
            (false, false) => wire.wait(cx),
        }
    }
}

impl AsyncWrite for Served {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.0.borrow_mut();
        std::task::ready!(wire.call(cx));
        if wire.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = wire.room.min(bytes.len());
        if most == 0 {
            return wire.wait(cx);
        }
        let count = wire.some(most);
        wire.room -= if wire.room == usize::MAX { 0 } else { count };
        wire.note(Step::Took(bytes[..count].to_vec()));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.0.borrow_mut();
        if wire.reset {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        wire.note(Step::Fin);
        Poll::Ready(Ok(()))
    }
}

/// Closes the socket.
impl Drop for Served {
    fn drop(&mut self) {
        let wire = &mut *self.0.0.borrow_mut();
        let reset = wire.resets_on_close;
        wire.note(Step::Closed { reset });
    }
}
