//! The poem server, fast and slow (S1): it writes the poem to every peer at the poem's pace, and then ends. All
//! connections share the one poem.

use std::io;
use std::mem;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use poetry::event::Wait;
use poetry::{CloseReason, Kind, PoemService, Role};

use crate::connection_guard::{ConnectionGuard, reason_of};
use crate::connection_limit::LimitedAcceptor;
use crate::linger::Linger;
use crate::protocol::{Address, Factory, Lost, Protocol, Side};
use crate::reactor::{Port, Reactor, Transport};
use crate::server_state::ServerState;
use crate::watched::watched_factory;

/// Serves a poem on `listener` in this reactor, with the default limits.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_poem(
    reactor: &Reactor,
    listener: TcpListener,
    service: PoemService,
) -> io::Result<Port> {
    let state = ServerState::unobserved(Role::PoemServer);
    serve_poem_with(reactor, listener, service, &state)
}

/// As [`serve_poem`], with the limits and the observer of `state`.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_poem_with(
    reactor: &Reactor,
    listener: TcpListener,
    service: PoemService,
    state: &Rc<ServerState>,
) -> io::Result<Port> {
    let factory = poem_factory(service, state);
    LimitedAcceptor::listen(reactor, listener, factory, state, Vec::new())
}

/// Returns the factory of the server's protocols, to serve connections that another port has accepted.
pub fn poem_factory(service: PoemService, state: &Rc<ServerState>) -> Rc<dyn Factory> {
    let factory = PoemFactory {
        service: Rc::new(service),
        state: Rc::clone(state),
    };
    watched_factory(Rc::new(factory), state)
}

/// Builds the protocol of each connection.
struct PoemFactory {
    service: Rc<PoemService>,
    state: Rc<ServerState>,
}

// ANCHOR: poem_factory
impl Factory for PoemFactory {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let Side::Accepted { serial } = address.side else {
            return None;
        };
        let mut guard = ConnectionGuard::new(&self.state, serial);
        guard.on_requests(1);
        Some(Box::new(PoemProtocol::new(Rc::clone(&self.service), guard)))
    }
}
// ANCHOR_END: poem_factory

/// Serves the poem to one peer, whose request `guard` counts.
pub(crate) struct PoemProtocol {
    service: Rc<PoemService>,
    guard: ConnectionGuard,
    /// When the poem began, from which the time of every chunk is counted.
    began: Duration,
    chunk: usize,
    sent: usize,
    /// Whether the kernel has not taken all of a chunk that is due.
    waits_for_room: bool,
    peer_finished: bool,
    linger: Option<Linger>,
    /// Why the connection ends, once that is known.
    reason: Option<CloseReason>,
}

// ANCHOR: serve_poem
impl PoemProtocol {
    pub(crate) fn new(service: Rc<PoemService>, guard: ConnectionGuard) -> Self {
        Self {
            service,
            guard,
            began: Duration::ZERO,
            chunk: 0,
            sent: 0,
            waits_for_room: false,
            peer_finished: false,
            linger: None,
            reason: None,
        }
    }

    /// Begins the poem now.
    pub(crate) fn begin(&mut self, transport: &Transport) {
        self.began = transport.now();
        self.produce(transport);
    }

    // ANCHOR: send_due
    /// Writes the chunks that are due, until the kernel takes no more or the next chunk is not due yet.
    fn produce(&mut self, transport: &Transport) {
        let PoemService { poem, pace } = &*self.service;
        let poem = poem.as_bytes();
        while let Some(chunk) = pace.chunk(self.chunk, poem.len()) {
            if self.waits_until(transport, pace.due(self.chunk)) {
                return;
            }
            let taken = transport.offer(&poem[self.sent..chunk.end]);
            self.sent += taken;
            self.guard.on_bytes_written(transport, taken);
            if self.sent < chunk.end {
                return self.wait_for_room(transport, taken);
            }
            self.waits_for_room = false;
            self.chunk += 1;
        }
        if self.guard.has_unanswered() {
            self.guard.on_answered(transport, 1);
        }
        if !self.waits_until(transport, pace.due(self.chunk)) {
            self.finish(transport);
        }
    }

    /// Starts the write timeout when the wait begins, and again when the kernel has taken bytes: it may announce room that is not
    /// there (S18).
    fn wait_for_room(&mut self, transport: &Transport, taken: usize) {
        if !mem::replace(&mut self.waits_for_room, true) || taken > 0 {
            transport.set_timeout(Some(self.guard.state.limits.write_timeout));
        }
    }

    /// Returns whether the time `due`, counted from the poem's beginning, has not come yet. If so, sets the timeout to it, which then
    /// continues the poem.
    fn waits_until(&self, transport: &Transport, due: Duration) -> bool {
        let elapsed = transport.now().saturating_sub(self.began);
        let waits = due > elapsed;
        if waits {
            transport.set_timeout(Some(due - elapsed));
        }
        waits
    }
    // ANCHOR_END: send_due

    fn finish(&mut self, transport: &Transport) {
        self.linger = Some(Linger::begin(transport, &self.guard.state.limits));
        if self.peer_finished {
            transport.lose_connection();
        }
    }
}
// ANCHOR_END: serve_poem

impl Protocol for PoemProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.guard.report(transport, Kind::Accepted);
        if self.guard.state.is_shutting_down() {
            self.guard.delay_shutdown();
        }
        self.begin(transport);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.guard.on_bytes_read(transport, data.len());
        if let Some(linger) = &mut self.linger {
            linger.drain(transport, data.len());
        }
    }

    fn resume_producing(&mut self, transport: &Transport) {
        if self.linger.is_none() {
            self.produce(transport);
        }
    }

    /// The peer has finished sending, which does not end the poem (S1).
    fn read_connection_lost(&mut self, transport: &Transport) {
        self.peer_finished = true;
        if self.linger.is_some() {
            transport.lose_connection();
        }
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        if self.linger.is_some() {
            transport.lose_connection();
        } else if transport.is_blocked() {
            self.reason = Some(CloseReason::Write);
            transport.abort_connection();
        } else {
            self.produce(transport);
        }
    }

    fn shut_down(&mut self, _: &Transport) {
        self.guard.delay_shutdown();
    }

    fn connection_lost(&mut self, transport: &Transport, lost: Lost) {
        let reason = match lost {
            // The poem and FIN were sent, so a reset after them is no failure of ours.
            Lost::Broken(_) if self.linger.is_some() && !self.guard.has_unanswered() => {
                CloseReason::Done
            }
            lost => self.reason.unwrap_or_else(|| reason_of(&lost)),
        };
        self.guard.on_closed(transport, reason);
    }

    fn waits_for(&self, transport: &Transport) -> Wait {
        match self.linger {
            None if !transport.is_blocked() => Wait::Pace,
            _ => transport.waits_for(),
        }
    }
}
