//! The poem client (S10–S12): one Deferred for each poem, any number at once in one reactor.

use std::cell::Cell;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;

use poetry::error::{Timeout, decode_poem};
use poetry::{FetchFailure, Peer, Poem, Role};

use crate::deferred::{Deferred, Trigger};
use crate::failure::Failure;
use crate::protocol::{Address, Factory, Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{Task, connection_failed, connection_lost, is_connection_failed, no_address};

// ANCHOR: get_poetry
/// Fetches the poem that `peer` serves; fails with a [`FetchFailure`]. Cancelling it closes the socket at once (S14);
/// dropping it does not, as in Twisted.
///
/// ```
/// use callbacks::{MemoryReactor, Peer, get_poetry};
///
/// let reactor = MemoryReactor::new();
/// let poem = get_poetry(&reactor, "10001".parse::<Peer>()?);
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// server.send(b"Ahoy");
/// server.finish();
/// reactor.settle();
/// assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "Ahoy");
/// # Ok::<(), String>(())
/// ```
pub fn get_poetry(reactor: &Reactor, peer: impl Into<Peer>) -> Deferred<Poem> {
    get_poetry_with(reactor, peer, &Task::unobserved(reactor, Role::PoemClient))
}

/// As [`get_poetry`], with the limits and the observer of `task`.
pub fn get_poetry_with(
    reactor: &Reactor,
    peer: impl Into<Peer>,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    match peer.into().addresses() {
        Ok(addresses) => task.bound(reactor, try_in_order(reactor, addresses, task)),
        Err(failure) => Deferred::fail(failure),
    }
}

/// Fetches the poem from the first address that accepts a connection.
fn try_in_order(reactor: &Reactor, addresses: &[SocketAddr], task: &Rc<Task>) -> Deferred<Poem> {
    let (first, others) = match addresses {
        [] => return Deferred::fail(no_address()),
        [last] => return fetch_from(reactor, *last, task),
        [first, others @ ..] => (*first, others.to_vec()),
    };
    let (context, task) = (reactor.clone(), Rc::clone(task));
    fetch_from(reactor, first, &task).add_errback(move |failure| {
        if is_connection_failed(&failure) {
            try_in_order(&context, &others, &task)
        } else {
            Deferred::fail(failure)
        }
    })
}

/// Fetches from `address` until FIN.
fn fetch_from(reactor: &Reactor, address: SocketAddr, task: &Rc<Task>) -> Deferred<Poem> {
    task.on_connecting(address);
    let factory = Rc::new(PoetryFactory::new(task));
    let transport = reactor.connect_tcp(
        address,
        task.limits.connect_timeout,
        Rc::clone(&factory) as _,
    );
    let (trigger, poem) = Deferred::with_canceller(move || {
        transport.iter().for_each(Transport::abort_connection);
        None
    });
    factory.trigger.set(Some(trigger));
    poem
}
// ANCHOR_END: get_poetry

/// Builds the protocol of one fetch, or fails the fetch if the connection is never established.
struct PoetryFactory {
    task: Rc<Task>,
    trigger: Cell<Option<Trigger<Poem>>>,
}

impl PoetryFactory {
    fn new(task: &Rc<Task>) -> Self {
        Self {
            task: Rc::clone(task),
            trigger: Cell::new(None),
        }
    }
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(PoetryProtocol {
            task: Rc::clone(&self.task),
            trigger: self.trigger.take(),
            poem: Vec::new(),
            finished: false,
            failure: None,
        }))
    }

    fn connection_failed(&self, _: SocketAddr, error: io::Error) {
        if let Some(trigger) = self.trigger.take() {
            trigger.errback(connection_failed(&error));
        }
    }
}

/// Collects a poem until FIN.
struct PoetryProtocol {
    task: Rc<Task>,
    trigger: Option<Trigger<Poem>>,
    poem: Vec<u8>,
    finished: bool,
    failure: Option<FetchFailure>,
}

impl PoetryProtocol {
    fn fail(&mut self, transport: &Transport, failure: FetchFailure) {
        self.failure = Some(failure);
        transport.abort_connection();
    }
}

impl Protocol for PoetryProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.task.on_connected(transport);
        transport.set_timeout(Some(self.task.limits.idle_timeout));
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.task.on_bytes_read(data.len());
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        let limit = self.task.limits.poem_bytes_max;
        if self.poem.len() + data.len() > limit {
            let limit = limit as u64;
            return self.fail(transport, FetchFailure::TooLong { limit });
        }
        self.poem.extend_from_slice(data);
    }

    /// FIN is the end of the poem (S1).
    fn read_connection_lost(&mut self, transport: &Transport) {
        self.finished = true;
        transport.lose_connection();
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        self.fail(transport, FetchFailure::TimedOut(Timeout::Idle));
    }

    fn connection_lost(&mut self, _: &Transport, lost: Lost) {
        let Some(trigger) = self.trigger.take() else {
            return;
        };
        match self.failure.take() {
            Some(failure) => trigger.errback(failure),
            // Decoded whole, so that a character cut by the network is one again (S12).
            None if self.finished => {
                let poem = decode_poem(mem::take(&mut self.poem));
                trigger.fire(poem.map(Poem::from).map_err(Failure::from));
            }
            None => trigger.errback(connection_lost(lost)),
        }
    }
}
