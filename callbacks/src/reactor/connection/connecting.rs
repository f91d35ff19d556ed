//! A connection that this end makes: begun, then made or failed.

use std::io;
use std::rc::Rc;

use super::{ABORTED, CLOSED, CONNECTING, Transport, WATCHES_ROOM};
use crate::protocol::{Address, Factory, Lost, Side};
use crate::reactor::Core;
use crate::reactor::system::Socket;

impl Transport {
    /// A connection that has been begun, to be [watched](Self::watch) before the reactor waits.
    pub(in crate::reactor) fn dial(
        core: &Rc<Core>,
        socket: Socket,
        address: Address,
        factory: Rc<dyn Factory>,
    ) -> Self {
        let token = core.connections.borrow_mut().reserve();
        let transport = Self::new(core, socket, token, address.peer, CONNECTING);
        transport.with_extra(|extra| extra.factory = Some(factory));
        core.connections.borrow_mut().fill(transport.clone());
        core.unwatched.borrow_mut().push(transport.clone());
        transport
    }

    /// Asks the kernel to tell what becomes of it: what that refuses to watch has failed to connect.
    pub(in crate::reactor) fn watch(&self) {
        if self.is(ABORTED) {
            return; // It is about to be closed, without a word.
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
        if self.is(ABORTED) {
            return self.finish_up();
        }
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

    /// The time to connect is over. It may have been enough all the same: after a turn in which much happened, the word
    /// of it is still on its way.
    pub(super) fn check_connected_in_time(&self) {
        self.check_connected();
        if self.is(CONNECTING) && !self.is(CLOSED) {
            self.fail_to_connect(io::ErrorKind::TimedOut.into());
        }
    }

    /// The reactor has stopped: what was made is aborted, and what was being made has failed (R5).
    pub(in crate::reactor) fn end_with_run(&self) {
        if self.is(CONNECTING) && !self.is(ABORTED) {
            self.fail_to_connect(io::ErrorKind::ConnectionAborted.into());
        } else {
            self.close(Lost::Aborted);
        }
    }

    fn connected(&self) {
        self.clear(CONNECTING);
        self.set(WATCHES_ROOM);
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
}
