//! A connection that this end makes: begun, then made or failed.

use std::io;
use std::rc::Rc;

use super::{Phase, Transport};
use crate::protocol::{Address, Factory, Lost, Side};
use crate::reactor::Core;
use crate::reactor::system::Socket;

impl Transport {
    /// Adds a connection that has been begun. The reactor [watches](Self::watch) it before it waits.
    pub(in crate::reactor) fn dial(
        core: &Rc<Core>,
        socket: Socket,
        address: Address,
        factory: Rc<dyn Factory>,
    ) -> Self {
        let transport = core
            .connections
            .borrow_mut()
            .insert_with(|token| Self::new(core, socket, token, address.peer, Phase::Connecting));
        transport.with_extra(|extra| extra.factory = Some(factory));
        core.unwatched.borrow_mut().push(transport.clone());
        transport
    }

    /// Registers the socket, so that the kernel announces how connecting ends. A socket that cannot be watched has failed to
    /// connect.
    pub(in crate::reactor) fn watch(&self) {
        if self.phase() != Phase::Connecting {
            return; // Given up: the next round closes it, without calling the factory.
        }
        let Some(mut socket) = self.0.socket.take() else {
            return;
        };
        let watched = self.0.core.driver.register(&mut socket, self.0.token, true);
        self.0.socket.set(Some(socket));
        if let Err(error) = watched {
            self.fail_to_connect(error);
        }
    }

    pub(super) fn check_connected(&self) {
        let Some(socket) = self.0.socket.take() else {
            return;
        };
        let connected = socket.is_connected();
        self.0.socket.set(Some(socket));
        match connected {
            Ok(true) => self.connected(),
            Ok(false) => {}
            Err(error) => self.fail_to_connect(error),
        }
    }

    /// The connect timeout has passed. The connection may have been made in time nevertheless: after a long turn the
    /// kernel's announcement has not been read yet.
    pub(super) fn connect_timed_out(&self) {
        self.check_connected();
        if self.phase() == Phase::Connecting {
            self.fail_to_connect(io::ErrorKind::TimedOut.into());
        }
    }

    /// The reactor has stopped: ends an established connection, and fails one that is being made (R5).
    pub(in crate::reactor) fn end_with_run(&self) {
        if self.phase() == Phase::Connecting {
            self.fail_to_connect(io::ErrorKind::ConnectionAborted.into());
        } else {
            self.end();
        }
    }

    // ANCHOR: connected
    fn connected(&self) {
        self.advance_to(Phase::Open);
        self.0.watches_room.set(true);
        self.set_timeout(None);
        let factory = self.with_extra(|extra| extra.factory.take());
        self.drop_idle_extra();
        let address = Address {
            peer: self.peer(),
            side: Side::Initiated,
        };
        match factory.and_then(|factory| factory.build_protocol(&address)) {
            Some(protocol) => {
                self.0.protocol.set(Some(protocol));
                self.call(|protocol, transport| protocol.connection_made(transport));
                self.finish_up();
            }
            None => self.close(Lost::Done),
        }
    }

    fn fail_to_connect(&self, error: io::Error) {
        let factory = self.with_extra(|extra| extra.factory.take());
        let peer = self.peer();
        self.close(Lost::Aborted);
        if let Some(factory) = factory {
            factory.connection_failed(peer, error);
        }
    }
    // ANCHOR_END: connected
}
