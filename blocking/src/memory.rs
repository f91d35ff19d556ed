//! A peer in memory and on virtual time, for tests. A script lists the peer's acts and their times; a call that would block
//! moves the clock to the act that ends it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::{Scene, Unobserved};
use poetry::{Clock, CloseReason, Counters, Counts, Limits, Reporter, Role};

use crate::buffers::{Buffers, ReadBuffer};
use crate::connection::Connection;
use crate::deadlines::{Timed, Wire, WriteTimeout};
use crate::ledger::Ledger;
use crate::net::HangUp;
use crate::server_state::ServeConnection;
use crate::shutdown_state::ShutdownState;

/// One act of a script.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// The peer sends these bytes, in one piece.
    Sends(Vec<u8>),
    /// The peer sends FIN.
    Finishes,
    /// The peer resets the connection.
    Resets,
    /// The peer takes this many bytes more.
    Takes(usize),
    /// The peer takes this many bytes more, too few for the kernel to wake a writer.
    TakesUnannounced(usize),
    /// A shutdown begins, and closes the connection if nothing is in flight.
    ShutdownBegins,
    /// The grace of the shutdown is over.
    GraceIsOver,
}

/// The act of a peer that sends `bytes`.
pub(crate) fn sends(bytes: &[u8]) -> Act {
    Act::Sends(bytes.to_vec())
}

/// What the server did, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The peer took these bytes.
    Wrote(Duration, Vec<u8>),
    /// The server sent FIN.
    Finished(Duration),
    /// The server reset the connection.
    Reset(Duration),
}

/// A peer and its clock.
#[derive(Clone, Default)]
pub(crate) struct Peer(Rc<Shared>);

/// What happens beside the peer at a time.
type Call = Box<dyn FnOnce()>;

#[derive(Default)]
struct Shared {
    now: Cell<Duration>,
    script: RefCell<VecDeque<(Duration, Act)>>,
    happened: RefCell<Vec<Happened>>,
    /// Bytes that the peer still takes; if none, any number.
    takes: Cell<Option<usize>>,
    read_timeout: Cell<Duration>,
    write_timeout: Cell<Duration>,
    timeouts_set: Cell<u32>,
    state: OnceCell<Arc<ShutdownState>>,
    call: RefCell<Option<(Duration, Call)>>,
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Peer {
    /// Creates a peer that acts at these times, in milliseconds.
    pub(crate) fn new(script: impl IntoIterator<Item = (u64, Act)>) -> Self {
        let script = script.into_iter().map(|(at, act)| (ms(at), act));
        let peer = Self::default();
        peer.0.script.borrow_mut().extend(script);
        peer
    }

    /// Limits the bytes that the peer takes, until an act takes more.
    pub(crate) fn that_takes(self, bytes: usize) -> Self {
        self.0.takes.set(Some(bytes));
        self
    }

    /// Calls `call` once a read has waited beyond this time, in milliseconds.
    pub(crate) fn calls_at(&self, at: u64, call: impl FnOnce() + 'static) {
        *self.0.call.borrow_mut() = Some((ms(at), Box::new(call)));
    }

    /// Returns all bytes that the peer took.
    pub(crate) fn received(&self) -> String {
        let happened = self.0.happened.borrow();
        let bytes = happened.iter().filter_map(|happened| match happened {
            Happened::Wrote(_, bytes) => Some(&bytes[..]),
            Happened::Finished(_) | Happened::Reset(_) => None,
        });
        String::from_utf8(bytes.collect::<Vec<_>>().concat()).expect("UTF-8")
    }

    pub(crate) fn happened(&self) -> Vec<Happened> {
        self.0.happened.borrow().clone()
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// Returns how often a timeout was set.
    pub(crate) fn timeouts_set(&self) -> u32 {
        self.0.timeouts_set.get()
    }

    // ANCHOR: next_act
    /// Takes the next wanted act that is due by `until`, and moves the clock to it, or to `until` if there is none.
    fn next_act(&self, until: Duration, wanted: impl Fn(&Act) -> bool) -> Option<Act> {
        let mut script = self.0.script.borrow_mut();
        let at = script
            .iter()
            .position(|(at, act)| *at <= until && wanted(act));
        let (at, act) = match at {
            // FIN and a reset stay, and end every later read too.
            Some(index) if matches!(script[index].1, Act::Finishes | Act::Resets) => {
                script[index].clone()
            }
            Some(index) => script.remove(index).expect("the position was found"),
            None => {
                self.0.now.set(until);
                return None;
            }
        };
        self.0.now.set(self.now().max(at));
        Some(act)
    }
    // ANCHOR_END: next_act

    fn state(&self) -> &ShutdownState {
        self.0.state.get().expect("the peer is being served")
    }

    fn log(&self, happened: Happened) {
        self.0.happened.borrow_mut().push(happened);
    }

    fn set_timeout(&self, timeout: &Cell<Duration>, value: Duration) {
        assert!(!value.is_zero(), "a timeout of zero means none");
        timeout.set(value);
        self.0.timeouts_set.set(self.timeouts_set() + 1);
    }
}

/// Serves `peer` as a thread of a server does. Returns why the connection closed, and the counts.
pub(crate) fn serve<S: ServeConnection>(
    service: &S,
    limits: &Limits,
    peer: &Peer,
) -> (CloseReason, Counts) {
    let state = Arc::new(ShutdownState::new(S::BEGINS_IN_FLIGHT));
    let _ = peer.0.state.set(Arc::clone(&state));
    let (counters, buffers) = (Counters::default(), Buffers::default());
    counters.accepted();
    let clock = Clock::stopped();
    let reporter = Reporter::new("test", Role::PoemServer, clock, Arc::new(Unobserved));
    let mut connection = Connection {
        wire: Timed::new(peer.clone()),
        buffer: ReadBuffer::new(&buffers),
        ledger: Ledger::new(&counters, &reporter, Scene::default()),
        state: &state,
        limits,
        write_timeout: WriteTimeout::new(limits.write_timeout),
        lingers: false,
    };
    let reason = service.serve(&mut connection);
    connection.prepare_close(reason);
    connection.ledger.close(reason);
    let counts = Counts::from(&counters);
    assert_eq!(counts.check(), Ok(()));
    assert_eq!((counts.open, counts.in_flight), (0, 0));
    (reason, counts)
}

impl Peer {
    /// Reads what the peer sends until this time.
    fn read_until(&self, until: Duration, buffer: &mut [u8]) -> io::Result<usize> {
        let to_read = |act: &Act| !matches!(act, Act::Takes(_) | Act::TakesUnannounced(_));
        match self.next_act(until, to_read) {
            Some(Act::Sends(bytes)) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                if length < bytes.len() {
                    let rest = Act::Sends(bytes[length..].to_vec());
                    self.0.script.borrow_mut().push_front((self.now(), rest));
                }
                Ok(length)
            }
            Some(Act::Resets) => Err(ErrorKind::ConnectionReset.into()),
            Some(Act::ShutdownBegins) if self.state().begin_shutdown() => {
                self.read_until(until, buffer)
            }
            Some(Act::GraceIsOver) => {
                self.state().cut();
                Ok(0)
            }
            Some(_) => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let until = self.now() + self.0.read_timeout.get();
        let is_due = |call: &mut (Duration, Call)| call.0 <= until;
        let call = self.0.call.borrow_mut().take_if(is_due);
        if let Some((_, call)) = call {
            call();
        }
        self.read_until(until, buffer)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let until = self.now() + self.0.write_timeout.get();
        match self.try_write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            written => return written,
        }
        match self.next_act(until, |act| matches!(act, Act::Takes(_) | Act::Resets)) {
            Some(Act::Takes(more)) => {
                self.0.takes.set(Some(more));
                self.try_write(bytes)
            }
            Some(_) => Err(ErrorKind::ConnectionReset.into()),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Peer {
    type Reader = io::Empty;

    fn now(&self) -> Duration {
        self.now()
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.set_timeout(&self.0.read_timeout, timeout);
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.set_timeout(&self.0.write_timeout, timeout);
        Ok(())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = self.now();
        let unannounced = |act: &Act| matches!(act, Act::TakesUnannounced(_));
        if let Some(Act::TakesUnannounced(more)) = self.next_act(now, unannounced) {
            self.0.takes.set(Some(more));
        }
        let length = self.0.takes.get().unwrap_or(usize::MAX).min(bytes.len());
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let left = self.0.takes.get().map(|takes| takes - length);
        self.0.takes.set(left);
        self.log(Happened::Wrote(self.now(), bytes[..length].to_vec()));
        Ok(length)
    }

    fn try_write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        self.try_write(&pieces.concat())
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_until(self.now(), buffer)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.log(Happened::Finished(self.now()));
        Ok(())
    }

    fn reset_when_closed(&mut self) {
        self.log(Happened::Reset(self.now()));
    }

    /// A peer in memory stays in one thread.
    fn reader(&mut self) -> io::Result<(io::Empty, HangUp)> {
        Err(ErrorKind::Unsupported.into())
    }

    fn pause(&mut self, at_most: Duration) {
        self.0.now.set(self.now() + at_most);
    }
}
