//! Connecting to a peer: its addresses in order (S10), and a Deferred whose canceller hangs up (S14). What is said on the
//! connection is up to a protocol.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use poetry::error::is_short_of_descriptors;
use poetry::{Peer, Poem};

use crate::deferred::{Deferred, Trigger};
use crate::failure::Failure;
use crate::protocol::{Address, Factory, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{Task, connection_failed, is_connection_failed, no_address};
use crate::watched::watched_fetch;

/// Builds the protocol of a connection, which fires the trigger.
pub(crate) trait Build: Fn(Trigger<Poem>) -> Box<dyn Protocol> + Clone + 'static {}

impl<B: Fn(Trigger<Poem>) -> Box<dyn Protocol> + Clone + 'static> Build for B {}

/// Connects to the first of the peer's addresses that accepts a connection. Fires with what the protocol fires.
pub(crate) fn dial(
    reactor: &Reactor,
    peer: &Peer,
    task: &Rc<Task>,
    build: impl Build,
) -> Deferred<Poem> {
    match peer.addresses() {
        Ok(addresses) => dial_in_order(reactor, addresses, task, build),
        Err(failure) => Deferred::fail(failure),
    }
}

// ANCHOR: dial_in_order
fn dial_in_order(
    reactor: &Reactor,
    addresses: &[SocketAddr],
    task: &Rc<Task>,
    build: impl Build,
) -> Deferred<Poem> {
    let (first, others) = match addresses {
        [] => return Deferred::fail(no_address()),
        [last] => return dial_address(reactor, *last, task, build),
        [first, others @ ..] => (*first, others.to_vec()),
    };
    let (context, task) = (reactor.clone(), Rc::clone(task));
    dial_address(reactor, first, &task, build.clone()).add_errback(move |failure| {
        if is_connection_failed(&failure) {
            dial_in_order(&context, &others, &task, build)
        } else {
            Deferred::fail(failure)
        }
    })
}
// ANCHOR_END: dial_in_order

/// Connects to `address`.
pub(crate) fn dial_address(
    reactor: &Reactor,
    address: SocketAddr,
    task: &Rc<Task>,
    build: impl Build,
) -> Deferred<Poem> {
    task.on_connecting(address);
    connect(reactor, address, task, build)
}

/// Begins the connection, once there is a descriptor for it (S15).
fn connect(
    reactor: &Reactor,
    address: SocketAddr,
    task: &Rc<Task>,
    build: impl Build,
) -> Deferred<Poem> {
    let timeout = task.limits.connect_timeout;
    let factory = Rc::new(ClientFactory {
        build,
        task: Rc::clone(task),
        trigger: Cell::new(None),
    });
    let transport = match reactor.begin_tcp(address, timeout, Rc::clone(&factory) as _) {
        Ok(transport) => transport,
        Err(error) if is_short_of_descriptors(&error) => {
            let (context, task) = (reactor.clone(), Rc::clone(task));
            return reactor.free_descriptor(error, timeout).add_callbacks(
                move |()| connect(&context, address, &task, factory.build.clone()),
                |failure| Deferred::fail(no_descriptor(failure)),
            );
        }
        Err(error) => return Deferred::fail(connection_failed(&error)),
    };
    // ANCHOR: canceller
    let (trigger, poem) = Deferred::with_canceller(move || {
        transport.iter().for_each(hang_up);
        None
    });
    factory.trigger.set(Some(trigger));
    poem
    // ANCHOR_END: canceller
}

/// The failure of a connection for which no descriptor became free.
fn no_descriptor(failure: Failure) -> Failure {
    match failure.trap::<io::Error>() {
        Ok(error) => connection_failed(&error).into(),
        Err(other) => other,
    }
}

/// Closes a client's connection at once.
pub(crate) fn hang_up(transport: &Transport) {
    if transport.is_blocked() {
        transport.abort_connection(); // The rest of the request is not sent.
    } else {
        transport.lose_connection();
    }
}

// ANCHOR: client_factory
/// Builds the protocol once the connection is established, or fails if it never is.
struct ClientFactory<B> {
    build: B,
    task: Rc<Task>,
    trigger: Cell<Option<Trigger<Poem>>>,
}

impl<B: Build> Factory for ClientFactory<B> {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let protocol = self.trigger.take().map(&self.build)?;
        Some(watched_fetch(protocol, &self.task))
    }

    fn connection_failed(&self, _: SocketAddr, error: io::Error) {
        if let Some(trigger) = self.trigger.take() {
            trigger.errback(connection_failed(&error));
        }
    }
}
// ANCHOR_END: client_factory
