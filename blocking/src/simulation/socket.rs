//! A socket in memory whose network is an adversary, and the virtual time of its thread: a call that would block moves the time to
//! what ends it. Calls read and write little at a time, and are interrupted now and then.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::simulation::log::{Log, Step};
use ::simulation::plan::{Act, Plan};
use fastrand::Rng;

use crate::deadlines::Wire;
use crate::net::HangUp;
use crate::shutdown_state::ShutdownState;

/// Calls of one socket, beyond which its thread is in a busy loop: plans send and take a few thousand bytes, and a write that is blocked
/// for half a minute is repeated a hundred times.
const CALLS_MAX: u32 = 200_000;

/// One socket. Clones are the same; the server's closes it when it is dropped.
#[derive(Clone)]
pub(super) struct Socket(Rc<RefCell<Network>>);

/// The server's end of a socket.
pub(super) struct Served(Socket);

struct Network {
    now: Duration,
    /// The time now, for events.
    nanos: Arc<AtomicU64>,
    /// What will happen, soonest first.
    coming: VecDeque<(Duration, Coming)>,
    arrived: VecDeque<u8>,
    finished: bool,
    /// The peer has reset the connection.
    reset: bool,
    /// A shutdown has ended reading.
    hung_up: bool,
    room: usize,
    read_timeout: Duration,
    write_timeout: Duration,
    resets_on_close: bool,
    state: Arc<ShutdownState>,
    /// Whether the shutdown found something in flight.
    was_busy: bool,
    calls: u32,
    log: Log,
    rng: Rng,
}

/// What happens outside of the thread.
#[derive(Debug, Clone)]
enum Coming {
    Act(Act),
    Stop,
    GraceIsOver,
}

impl Socket {
    /// The socket of a server's connection, which begins when the peer arrives.
    pub(super) fn accepted(
        plan: &Plan,
        index: usize,
        in_flight: bool,
        nanos: Arc<AtomicU64>,
        rng: Rng,
    ) -> Self {
        let peer = &plan.peers[index];
        let acts = peer.acts.iter().cloned();
        let mut coming: Vec<_> = acts.map(|(at, act)| (at, Coming::Act(act))).collect();
        coming.push((plan.stop_at, Coming::Stop));
        coming.push((plan.end(), Coming::GraceIsOver));
        coming.sort_by_key(|&(at, _)| at);
        let state = ShutdownState::new(in_flight);
        Self::new(coming, peer.room, peer.arrives, state, nanos, rng)
    }

    /// The socket of a client, to a server that does `acts`.
    pub(super) fn dialled(
        acts: impl Iterator<Item = (Duration, Act)>,
        now: Duration,
        rng: Rng,
    ) -> Self {
        let coming = acts.map(|(at, act)| (at, Coming::Act(act))).collect();
        let state = ShutdownState::new(true);
        Self::new(coming, usize::MAX, now, state, Arc::default(), rng)
    }

    fn new(
        coming: Vec<(Duration, Coming)>,
        room: usize,
        now: Duration,
        state: ShutdownState,
        nanos: Arc<AtomicU64>,
        rng: Rng,
    ) -> Self {
        let mut network = Network {
            now,
            nanos,
            coming: coming.into(),
            arrived: VecDeque::new(),
            finished: false,
            reset: false,
            hung_up: false,
            room,
            read_timeout: Duration::MAX,
            write_timeout: Duration::MAX,
            resets_on_close: false,
            state: Arc::new(state),
            was_busy: false,
            calls: 0,
            log: Log::default(),
            rng,
        };
        network.set_time(now);
        Self(Rc::new(RefCell::new(network)))
    }

    pub(super) fn state(&self) -> Arc<ShutdownState> {
        Arc::clone(&self.0.borrow().state)
    }

    pub(super) fn served(&self) -> Served {
        Served(self.clone())
    }

    pub(super) fn was_busy(&self) -> bool {
        self.0.borrow().was_busy
    }

    pub(super) fn note(&self, step: Step) {
        self.0.borrow_mut().note(step);
    }

    pub(super) fn take_log(&self) -> Log {
        std::mem::take(&mut self.0.borrow_mut().log)
    }
}

impl Network {
    fn note(&mut self, step: Step) {
        self.log.note(self.now, step);
    }

    fn set_time(&mut self, now: Duration) {
        self.now = now;
        self.nanos.store(now.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Begins a call: what is due has happened before it. Now and then it is interrupted.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        assert!(self.calls < CALLS_MAX, "the thread is in a busy loop");
        self.catch_up();
        match self.rng.u8(0..8) {
            0 => Err(ErrorKind::Interrupted.into()),
            _ => Ok(()),
        }
    }

    fn catch_up(&mut self) {
        while let Some((_, coming)) = self.coming.pop_front_if(|(at, _)| *at <= self.now) {
            self.happen(coming);
        }
    }

    /// Moves the time to what happens next, or to `until`. Returns false in the second case.
    fn wait(&mut self, until: Duration) -> bool {
        match self.coming.front() {
            Some(&(at, _)) if at <= until => {
                self.set_time(at.max(self.now));
                self.catch_up();
                true
            }
            _ => {
                self.set_time(until);
                false
            }
        }
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Act(Act::Send(bytes)) => {
                self.arrived.extend(&bytes);
                self.note(Step::Sent(bytes));
            }
            Coming::Act(Act::Finish) => {
                self.finished = true;
                self.note(Step::Finished);
            }
            Coming::Act(Act::Reset) => {
                self.reset = true;
                self.note(Step::Reset);
                if self.rng.bool() {
                    // Not every system delivers what came before a reset.
                    self.arrived.clear();
                }
            }
            Coming::Act(Act::Take(bytes)) => self.room = self.room.saturating_add(bytes),
            Coming::Stop => {
                self.note(Step::StopBegan);
                self.was_busy = self.state.begin_shutdown();
                self.hung_up |= !self.was_busy;
            }
            Coming::GraceIsOver => {
                self.state.cut();
                self.hung_up = true;
            }
        }
    }

    /// Reads what has arrived, or fails as a read that must not wait.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.arrived.len().min(buffer.len());
        if most > 0 {
            let count = self.some(most);
            for (place, byte) in buffer.iter_mut().zip(self.arrived.drain(..count)) {
                *place = byte;
            }
            self.note(Step::Read(count));
            return Ok(count);
        }
        match self.reset {
            true => Err(ErrorKind::ConnectionReset.into()),
            false if self.finished || self.hung_up => Ok(0),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes as much as there is room, or fails as a write that must not wait.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let most = self.room.min(bytes.len());
        if most == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.some(most);
        self.room -= if self.room == usize::MAX { 0 } else { count };
        self.note(Step::Took(bytes[..count].to_vec()));
        Ok(count)
    }

    /// Some of `most` bytes, at least one.
    fn some(&mut self, most: usize) -> usize {
        match self.rng.bool() {
            true => most,
            false => self.rng.usize(1..=most),
        }
    }
}

impl Served {
    fn network(&self) -> RefMut<'_, Network> {
        self.0.0.borrow_mut()
    }
}

fn would_block<T>(called: &io::Result<T>) -> bool {
    matches!(called, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

impl Read for Served {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let network = &mut *self.network();
        network.call()?;
        let until = network.now.saturating_add(network.read_timeout);
        loop {
            let read = network.read(buffer);
            if !would_block(&read) || !network.wait(until) {
                return read;
            }
        }
    }
}

impl Write for Served {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let network = &mut *self.network();
        network.call()?;
        let until = network.now.saturating_add(network.write_timeout);
        loop {
            let written = network.write(bytes);
            if !would_block(&written) || !network.wait(until) {
                return written;
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Served {
    type Reader = io::Empty;

    fn now(&self) -> Duration {
        self.network().now
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero(), "a timeout of zero means none");
        self.network().read_timeout = timeout;
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero(), "a timeout of zero means none");
        self.network().write_timeout = timeout;
        Ok(())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let network = &mut *self.network();
        network.call()?;
        match network.rng.u8(0..6) {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => network.write(bytes),
        }
    }

    fn try_write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        self.try_write(&pieces.concat())
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let network = &mut *self.network();
        network.call()?;
        network.read(buffer)
    }

    fn finish(&mut self) -> io::Result<()> {
        let network = &mut *self.network();
        if network.reset {
            return Err(ErrorKind::NotConnected.into());
        }
        network.note(Step::Fin);
        Ok(())
    }

    fn reset_when_closed(&mut self) {
        self.network().resets_on_close = true;
    }

    /// A socket in memory stays in one thread.
    fn reader(&mut self) -> io::Result<(io::Empty, HangUp)> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Only a cut wakes the thread.
    fn pause(&mut self, at_most: Duration) {
        let network = &mut *self.network();
        let until = network.now.saturating_add(at_most);
        while !network.state.is_cut() && network.wait(until) {}
    }
}

/// Closes the socket.
impl Drop for Served {
    fn drop(&mut self) {
        let network = &mut *self.network();
        let reset = network.resets_on_close;
        network.note(Step::Closed { reset });
    }
}
