//! Protocols around protocols, for timelines: each reports that its task runs before a call, and what the task waits for after it.
//! Without an observer of turns there are none.

use std::net::SocketAddr;
use std::rc::Rc;

use poetry::Kind;
use poetry::event::{Interest, Wait};

use crate::protocol::{Address, Factory, Lost, Protocol, Side};
use crate::reactor::Transport;
use crate::server_state::ServerState;
use crate::task::Task;

/// Returns a factory of watched protocols, if the server's observer wants turns; otherwise `factory` itself.
pub(crate) fn watched_factory(
    factory: Rc<dyn Factory>,
    state: &Rc<ServerState>,
) -> Rc<dyn Factory> {
    match state.reporter.wants(Interest::TURNS) {
        true => Rc::new(WatchedFactory {
            factory,
            state: Rc::clone(state),
        }),
        false => factory,
    }
}

/// Returns a watched protocol, if the observer of `task` wants turns; otherwise `protocol` itself.
pub(crate) fn watched_fetch(protocol: Box<dyn Protocol>, task: &Rc<Task>) -> Box<dyn Protocol> {
    match task.wants(Interest::TURNS) {
        true => Box::new(Watched {
            protocol,
            whose: Whose::Fetch(Rc::clone(task)),
        }),
        false => protocol,
    }
}

struct WatchedFactory {
    factory: Rc<dyn Factory>,
    state: Rc<ServerState>,
}

impl Factory for WatchedFactory {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let protocol = self.factory.build_protocol(address)?;
        let Side::Accepted { serial } = address.side else {
            return Some(protocol);
        };
        let state = Rc::clone(&self.state);
        let whose = Whose::Connection { state, serial };
        Some(Box::new(Watched { protocol, whose }))
    }

    fn connection_failed(&self, peer: SocketAddr, error: std::io::Error) {
        self.factory.connection_failed(peer, error);
    }
}

struct Watched {
    protocol: Box<dyn Protocol>,
    whose: Whose,
}

/// Whose turns are reported.
enum Whose {
    Connection { state: Rc<ServerState>, serial: u64 },
    Fetch(Rc<Task>),
}

impl Whose {
    fn report(&self, transport: &Transport, kind: Kind) {
        match self {
            Self::Connection { state, serial } => {
                let scene = state.scene_of(*serial, transport);
                state.reporter.report(scene, kind);
            }
            Self::Fetch(task) => task.report_turn(kind),
        }
    }
}

impl Watched {
    fn turn(&mut self, transport: &Transport, call: impl FnOnce(&mut dyn Protocol)) {
        self.whose.report(transport, Kind::Running);
        call(&mut *self.protocol);
        let wait = self.protocol.waits_for(transport);
        self.whose.report(transport, Kind::Waiting(wait));
    }
}

impl Protocol for Watched {
    fn connection_made(&mut self, transport: &Transport) {
        self.turn(transport, |protocol| protocol.connection_made(transport));
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.turn(transport, |protocol| {
            protocol.data_received(transport, data)
        });
    }

    fn next_turn(&mut self, transport: &Transport, data: &[u8]) {
        self.turn(transport, |protocol| protocol.next_turn(transport, data));
    }

    fn data_sent(&mut self, transport: &Transport, bytes: usize) {
        self.turn(transport, |protocol| protocol.data_sent(transport, bytes));
    }

    fn resume_producing(&mut self, transport: &Transport) {
        self.turn(transport, |protocol| protocol.resume_producing(transport));
    }

    fn woken(&mut self, transport: &Transport) {
        self.turn(transport, |protocol| protocol.woken(transport));
    }

    fn read_connection_lost(&mut self, transport: &Transport) {
        self.turn(transport, |protocol| {
            protocol.read_connection_lost(transport)
        });
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        self.turn(transport, |protocol| protocol.timeout_connection(transport));
    }

    fn shut_down(&mut self, transport: &Transport) {
        self.turn(transport, |protocol| protocol.shut_down(transport));
    }

    fn waits_for(&self, transport: &Transport) -> Wait {
        self.protocol.waits_for(transport)
    }

    /// The last call: its task waits for nothing afterwards.
    fn connection_lost(&mut self, transport: &Transport, lost: Lost) {
        self.whose.report(transport, Kind::Running);
        self.protocol.connection_lost(transport, lost);
    }
}
