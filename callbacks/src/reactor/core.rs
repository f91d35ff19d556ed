//! The loop: wait, update the time, call back (R1, R4, R5). Each turn of the loop gives every ready connection one turn,
//! and then those that are not finished another one in a round (S24).

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use poetry::limits::READ_BUFFER_BYTES;
use poetry::panics;

use super::connection::Transport;
use super::connections::Connections;
use super::descriptors::Descriptors;
use super::lifecycle::{Lifecycle, Phase};
use super::port::Ports;
use super::system::{Driver, EVENTS_MAX, Ready, Socket, WAKE};
use super::threads::{Inlets, Mailbox};
use crate::log::{self, Trouble};
use crate::protocol::{Address, Factory};
use crate::timers::Clock;

/// The state that all handles share.
pub(crate) struct Core {
    pub(super) clock: Clock,
    pub(super) driver: Driver,
    /// The clock's time in nanoseconds, for the hot path.
    pub(super) now: Cell<u64>,
    pub(super) connections: RefCell<Connections>,
    pub(super) ports: Ports,
    pub(super) descriptors: Descriptors,
    /// Functions that other threads call, by number.
    pub(super) inlets: RefCell<Inlets>,
    /// Connections that this turn has begun; see [`Core::watch_begun`].
    pub(super) unwatched: RefCell<Vec<Transport>>,
    /// Connections with a turn in the next round: they may have more to read, keep bytes, or were lost, broken or resumed
    /// outside of their own calls.
    pub(super) round: RefCell<VecDeque<Transport>>,
    /// When to check which connection's timeout; see [`Transport::set_timeout`].
    pub(super) timeouts: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    /// The connection whose protocol is being called. If that panics, this connection is dropped (R4).
    pub(super) current: Cell<usize>,
    pub(super) lifecycle: Lifecycle,
    pub(super) mailbox: Mailbox,
    /// Whether the reactor's owner is gone: nothing begins any more.
    pub(super) closed: Cell<bool>,
}

/// Stale entries that the queue of timeouts may keep before it is cleaned up.
pub(super) const STALE_TIMEOUTS_MAX: usize = 256;

/// Buffers that one loop uses again in every turn.
pub(super) struct Buffers {
    ready: Vec<Ready>,
    /// The next of `ready` to handle.
    next: usize,
    round: VecDeque<Transport>,
    /// Events handled since connections began to wait for the next round.
    events_since_round: usize,
    read: Box<[u8]>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            ready: Vec::new(),
            next: 0,
            round: VecDeque::new(),
            events_since_round: 0,
            read: vec![0; READ_BUFFER_BYTES].into(),
        }
    }
}

impl Core {
    pub(super) fn new(driver: Driver) -> Rc<Self> {
        let mailbox = Mailbox::new(driver.wake());
        Rc::new(Self {
            clock: Clock::with_source(driver.clock()),
            driver,
            now: Cell::new(0),
            connections: RefCell::default(),
            ports: Ports::default(),
            descriptors: Descriptors::default(),
            inlets: RefCell::default(),
            unwatched: RefCell::default(),
            round: RefCell::default(),
            timeouts: RefCell::default(),
            current: Cell::new(WAKE),
            lifecycle: Lifecycle::default(),
            mailbox,
            closed: Cell::new(false),
        })
    }

    // ANCHOR: loop_turn
    /// One turn of the loop: wait, for at most `wait_max` if that is given, then call everything that is ready or due.
    pub(super) fn turn(self: &Rc<Self>, buffers: &mut Buffers, wait_max: Option<Duration>) {
        buffers.ready.clear();
        buffers.next = 0;
        self.watch_begun();
        let wait = self.time_to_wait().into_iter().chain(wait_max).min();
        self.driver.poll(wait, &mut buffers.ready);
        self.update_time();
        // First, so that a thread's call comes before the bytes that the thread sent after it.
        self.mailbox.run(self);
        self.begin_round(buffers);
        self.contained(|| self.call_ready(buffers));
        if !buffers.round.is_empty() {
            self.contained(|| self.call_round(buffers));
        }
        self.clock.run_due();
        self.contained(|| self.call_timed_out());
        if self.lifecycle.turn() {
            self.wind_up();
        }
    }
    // ANCHOR_END: loop_turn

    /// Begins a round with the connections that wait for one, if by then every ready connection has had a turn since the
    /// last round (S24). If a poll was full, the kernel may not have reported every ready socket yet. It reports all of them
    /// before it repeats one, so it has reported all after as many events as there are connections.
    fn begin_round(&self, buffers: &mut Buffers) {
        if self.round.borrow().is_empty() {
            return;
        }
        buffers.events_since_round += buffers.ready.len();
        let all_reported = buffers.ready.len() < EVENTS_MAX
            || buffers.events_since_round >= self.connections.borrow().len();
        if all_reported {
            buffers.events_since_round = 0;
            mem::swap(&mut *self.round.borrow_mut(), &mut buffers.round);
        }
    }

    /// Ends a run: nothing is accepted, read or due any more.
    fn wind_up(&self) {
        self.lifecycle.run_phase(Phase::During);
        for transport in self.transports() {
            self.calling(transport.token(), || transport.end_with_run());
        }
        // Connections that the calls above have begun.
        self.close_connections();
        self.lifecycle.run_phase(Phase::After);
        self.lifecycle.end();
    }

    /// Closes every connection; the factories of those still being made are not called.
    fn close_connections(&self) {
        while self.connections.borrow().len() > 0 {
            for transport in self.transports() {
                self.calling(transport.token(), || transport.end());
            }
        }
    }

    /// Registers the connections begun since the last call with the kernel. Registering each as it begins would delay the
    /// last of many that begin in one turn, which is also the last to end.
    fn watch_begun(&self) {
        if self.unwatched.borrow().is_empty() {
            return;
        }
        for transport in self.unwatched.take() {
            self.calling(transport.token(), || transport.watch());
        }
    }

    /// Returns how long the loop may wait: not at all if it has work, without bound if nothing is due.
    pub(super) fn time_to_wait(&self) -> Option<Duration> {
        if self.has_work() {
            return Some(Duration::ZERO);
        }
        let call = self.clock.next_due();
        let timeout = self
            .timeouts
            .borrow()
            .peek()
            .map(|Reverse((due, _))| Duration::from_nanos(*due));
        let next = call.into_iter().chain(timeout).min()?;
        // Not the turn's time: callbacks may have taken long.
        Some(next.saturating_sub(self.driver.now()))
    }

    pub(super) fn has_work(&self) -> bool {
        !self.round.borrow().is_empty()
            || !self.unwatched.borrow().is_empty()
            || self.mailbox.has_mail()
            || self.lifecycle.is_stopping()
    }

    pub(super) fn update_time(&self) {
        let now = self.driver.now();
        self.now.set(nanos(now));
        self.clock.set(now);
    }

    /// Runs `call`, which concerns the connection of `token`. A panic drops that connection (R4), not
    /// another one in whose call this may run. `call` is then run again, and must find nothing left to do.
    pub(super) fn calling(&self, token: usize, call: impl FnMut()) {
        let outer = self.current.replace(token);
        self.contained(call);
        self.current.set(outer);
    }

    // ANCHOR: contain_panics
    /// Runs `calls` until it returns without a panic; each panic drops the current connection (R4).
    fn contained(&self, mut calls: impl FnMut()) {
        while let Err(message) = panics::contain(&mut calls) {
            log::report(Trouble::Panicked { message });
            let current = self.connections.borrow().get(self.current.replace(WAKE));
            if let Some(transport) = current {
                // The calls that this makes may panic too; the connection is closed nevertheless.
                log::contained(|| transport.give_up());
            }
        }
    }
    // ANCHOR_END: contain_panics

    fn call_ready(self: &Rc<Self>, buffers: &mut Buffers) {
        while let Some(&ready) = buffers.ready.get(buffers.next) {
            buffers.next += 1;
            if ready.token == WAKE {
                continue;
            }
            self.current.set(ready.token);
            // A statement of its own, so that the connections are not borrowed during the call.
            let transport = self.connections.borrow().get(ready.token);
            match transport {
                Some(transport) => transport.ready(ready, &mut buffers.read),
                None => self.ports.ready(ready.token),
            }
        }
    }

    fn call_round(&self, buffers: &mut Buffers) {
        while let Some(transport) = buffers.round.pop_front() {
            self.current.set(transport.token());
            transport.take_turn(&mut buffers.read);
        }
    }

    fn call_timed_out(&self) {
        let now = self.now.get();
        while let Some((due, token)) = self.pop_timeout(now) {
            let transport = self.connections.borrow().get(token);
            if let Some(transport) = transport {
                self.current.set(token);
                transport.check_timeout(due, now);
            }
        }
    }

    /// Drops stale timeouts, of closed connections or replaced by earlier ones, once they outnumber the others: a
    /// short-lived connection must not leave an entry behind for a minute.
    pub(super) fn clean_up_timeouts(&self) {
        let mut timeouts = self.timeouts.borrow_mut();
        let connections = self.connections.borrow();
        if timeouts.len() > 3 * connections.len() + STALE_TIMEOUTS_MAX {
            timeouts.retain(|&Reverse((due, token))| {
                let transport = connections.get(token);
                transport.is_some_and(|transport| transport.is_check_scheduled(due))
            });
        }
    }

    fn pop_timeout(&self, now: u64) -> Option<(u64, usize)> {
        let mut timeouts = self.timeouts.borrow_mut();
        let &Reverse((due, _)) = timeouts.peek()?;
        if due > now {
            return None;
        }
        timeouts.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn adopt(self: &Rc<Self>, socket: Socket, address: Address, factory: &dyn Factory) {
        if let Some(protocol) = factory.build_protocol(&address) {
            Transport::establish(self, socket, address.peer, protocol);
        }
    }

    pub(super) fn transports(&self) -> Vec<Transport> {
        self.connections.borrow().iter().collect()
    }

    /// Drops everything that may hold a handle to this reactor; nothing new begins.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.clock.stop();
        self.ports.clear();
        self.descriptors.clear();
        drop(self.inlets.take());
        self.lifecycle.clear();
        self.mailbox.close();
        self.close_connections();
        self.round.borrow_mut().clear();
        self.unwatched.borrow_mut().clear();
    }

    /// Returns whether the reactor's owner is gone, so that requests are ignored.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// Returns `time` in nanoseconds. The clock starts at zero, so the limit is 584 years away.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(time.subsec_nanos()))
}
