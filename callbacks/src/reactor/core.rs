//! The loop: wait, tell the time, call back whoever is concerned (R1, R4, R5).

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use poetry::limits::READ_BUFFER_BYTES;
use poetry::panics;

use super::connection::Transport;
use super::lifecycle::{Lifecycle, Phase};
use super::port::Ports;
use super::slots::Slots;
use super::system::{Driver, Ready, Socket, WAKE};
use super::threads::{Inlets, Mailbox};
use crate::log::{self, Trouble};
use crate::protocol::{Address, Factory, Lost};
use crate::timers::Clock;

/// What the handles share.
pub(crate) struct Core {
    pub(super) clock: Clock,
    pub(super) driver: Driver,
    /// The clock's time in nanoseconds, for what must not cost anything.
    pub(super) now: Cell<u64>,
    pub(super) connections: RefCell<Slots<Transport>>,
    pub(super) ports: Ports,
    /// Functions that other threads call, by number.
    pub(super) inlets: RefCell<Inlets>,
    /// Connections that this turn has begun: see [`Core::watch_begun`].
    pub(super) unwatched: RefCell<Vec<Transport>>,
    /// Connections that were lost, broken or resumed out of turn.
    pub(super) attention: RefCell<Vec<Transport>>,
    /// When to look at which connection's timeout; see [`Transport::set_timeout`].
    pub(super) timeouts: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    /// The connection whose protocol is being called: if that panics, it is the one to go (R4).
    pub(super) current: Cell<usize>,
    pub(super) lifecycle: Lifecycle,
    pub(super) mailbox: Mailbox,
    /// Whether its owner is gone: nothing begins any more.
    pub(super) closed: Cell<bool>,
}

/// Dead timeouts that are not worth a clean-up.
pub(super) const DEAD_TIMEOUTS_MAX: usize = 256;

/// What one loop reuses from turn to turn.
pub(super) struct Work {
    ready: Vec<Ready>,
    next: usize,
    round: Vec<Transport>,
    buffer: Box<[u8]>,
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            ready: Vec::new(),
            next: 0,
            round: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
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
            inlets: RefCell::default(),
            unwatched: RefCell::default(),
            attention: RefCell::default(),
            timeouts: RefCell::default(),
            current: Cell::new(WAKE),
            lifecycle: Lifecycle::default(),
            mailbox,
            closed: Cell::new(false),
        })
    }

    /// One turn: watch what was begun, wait, tell the time, then run calls from threads, and call back what became ready,
    /// what asked for attention, and what is due. `wait` bounds the waiting.
    pub(super) fn turn(self: &Rc<Self>, work: &mut Work, wait: Option<Duration>) {
        work.ready.clear();
        work.next = 0;
        self.watch_begun();
        let wait = self.patience().into_iter().chain(wait).min();
        self.driver.poll(wait, &mut work.ready);
        self.tell_time();
        // First: what another thread asked for before it sent something comes before that is read.
        self.mailbox.run(self);
        self.contained(|| self.call_ready(work));
        mem::swap(&mut *self.attention.borrow_mut(), &mut work.round);
        self.contained(|| self.call_attentive(work));
        self.clock.run_due();
        self.contained(|| self.call_timed_out());
        if self.lifecycle.turn() {
            self.wind_up();
        }
    }

    /// The end of a run: nothing is accepted, read or due any more.
    fn wind_up(&self) {
        self.lifecycle.run_phase(Phase::During);
        for transport in self.transports() {
            self.calling(transport.token(), || transport.end_with_run());
        }
        // What those who were told of their end have begun is for nobody.
        self.close_connections();
        self.lifecycle.run_phase(Phase::After);
        self.lifecycle.end();
    }

    /// Closes every connection; those still being made without a word.
    fn close_connections(&self) {
        while self.connections.borrow().len() > 0 {
            for transport in self.transports() {
                self.calling(transport.token(), || transport.close(Lost::Aborted));
            }
        }
    }

    /// Has the kernel watch the connections begun since this was called last. Not when each is begun: of many begun in one
    /// turn the last is begun sooner so, and it is the last to end.
    fn watch_begun(&self) {
        for transport in self.unwatched.take() {
            self.calling(transport.token(), || transport.watch());
        }
    }

    /// How long the loop may wait: not at all if there is work, for ever if nothing is due.
    fn patience(&self) -> Option<Duration> {
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
        !self.attention.borrow().is_empty()
            || !self.unwatched.borrow().is_empty()
            || self.mailbox.has_mail()
            || self.lifecycle.is_stopping()
    }

    pub(super) fn tell_time(&self) {
        let now = self.driver.now();
        self.now.set(nanos(now));
        self.clock.set(now);
    }

    /// Runs `call`, which concerns the connection of `token`: a panic costs that one (R4), and not the one in whose call
    /// this may be. `call` is then made again, and must find nothing left to do.
    pub(super) fn calling(&self, token: usize, call: impl FnMut()) {
        let outer = self.current.replace(token);
        self.contained(call);
        self.current.set(outer);
    }

    /// Runs `calls`, again and again until it comes through: a panic costs the current connection (R4).
    fn contained(&self, mut calls: impl FnMut()) {
        while let Err(message) = panics::contain(&mut calls) {
            log::report(Trouble::Panicked { message });
            let current = self.connections.borrow().get(self.current.replace(WAKE));
            if let Some(transport) = current {
                // Its protocol may panic over that, too; it is closed all the same.
                log::contained(|| transport.give_up());
            }
        }
    }

    fn call_ready(self: &Rc<Self>, work: &mut Work) {
        while let Some(&ready) = work.ready.get(work.next) {
            work.next += 1;
            if ready.token == WAKE {
                continue;
            }
            self.current.set(ready.token);
            // A statement of its own: what is called must find the connections free.
            let transport = self.connections.borrow().get(ready.token);
            match transport {
                Some(transport) => transport.ready(ready, &mut work.buffer),
                None => self.ports.ready(ready.token),
            }
        }
    }

    fn call_attentive(&self, work: &mut Work) {
        while let Some(transport) = work.round.pop() {
            self.current.set(transport.token());
            transport.attend(&mut work.buffer);
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

    /// Drops the timeouts of connections that are gone, and those that were replaced, once they outnumber the rest: a
    /// connection that lives for a moment must not leave something behind for a minute.
    pub(super) fn clean_up_timeouts(&self) {
        let mut timeouts = self.timeouts.borrow_mut();
        let connections = self.connections.borrow();
        if timeouts.len() > 3 * connections.len() + DEAD_TIMEOUTS_MAX {
            timeouts.retain(|&Reverse((due, token))| {
                let transport = connections.get(token);
                transport.is_some_and(|transport| transport.is_looked_at(due))
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

    pub(super) fn adopt(
        self: &Rc<Self>,
        mut socket: Socket,
        address: Address,
        factory: &dyn Factory,
    ) {
        let Some(protocol) = factory.build_protocol(&address) else {
            return;
        };
        let token = self.connections.borrow_mut().reserve();
        let watched = self.driver.register(&mut socket, token, false);
        Transport::establish(self, socket, token, address.peer, protocol, watched);
    }

    pub(super) fn transports(&self) -> Vec<Transport> {
        self.connections.borrow().iter().collect()
    }

    /// Drops everything that may hold a handle to this, and takes in nothing any more.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.clock.stop();
        self.ports.clear();
        drop(self.inlets.take());
        self.lifecycle.clear();
        self.mailbox.close();
        self.close_connections();
        self.attention.borrow_mut().clear();
        self.unwatched.borrow_mut().clear();
    }

    /// Whether what is asked of this does not happen any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// As nanoseconds; the clock starts at zero, so the limit is 584 years away.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(time.subsec_nanos()))
}
