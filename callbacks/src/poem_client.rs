//! The poem client (S10–S12): a Deferred for each poem, any number at once in one reactor.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use poetry::error::{Timeout, decode_poem};
use poetry::{FetchFailure, Peer};

use crate::deferred::{Deferred, Trigger};
use crate::protocol::{Address, Factory, Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{Task, connection_failed, connection_lost};

// ANCHOR: get_poetry
/// The poem that `peer` serves, or a [`FetchFailure`]. Cancelling it closes its socket at once (S14).
pub fn get_poetry(reactor: &Reactor, peer: &Peer, task: &Rc<Task>) -> Deferred<String> {
    let addresses = match peer.addresses() {
        Ok(addresses) => addresses.to_vec(),
        Err(failure) => return Deferred::fail(failure),
    };
    let poem = try_in_order(reactor.clone(), addresses.into_iter(), Rc::clone(task));
    task.bound(reactor, poem.add_callback(|bytes| Ok(decode_poem(bytes)?)))
}

/// The bytes from the first address that lets us connect.
fn try_in_order(
    reactor: Reactor,
    mut addresses: std::vec::IntoIter<SocketAddr>,
    task: Rc<Task>,
) -> Deferred<Vec<u8>> {
    let Some(address) = addresses.next() else {
        return Deferred::fail(FetchFailure::ConnectionFailed {
            cause: "no address".to_owned(),
        });
    };
    fetch_from(&reactor, address, &task).add_errback(move |failure| match failure.downcast_ref() {
        Some(FetchFailure::ConnectionFailed { .. }) if addresses.len() > 0 => {
            try_in_order(reactor, addresses, task)
        }
        _ => Deferred::fail(failure),
    })
}

/// Everything that comes from `address` until FIN.
fn fetch_from(reactor: &Reactor, address: SocketAddr, task: &Rc<Task>) -> Deferred<Vec<u8>> {
    task.connecting(address);
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

/// Builds the protocol of one fetch, or hears that there will be none.
struct PoetryFactory {
    task: Rc<Task>,
    trigger: Cell<Option<Trigger<Vec<u8>>>>,
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

/// Gathers a poem until FIN.
struct PoetryProtocol {
    task: Rc<Task>,
    trigger: Option<Trigger<Vec<u8>>>,
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
        self.task.connected(transport);
        transport.set_timeout(Some(self.task.limits.idle_timeout));
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.task.read(data.len());
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
            None if self.finished => trigger.callback(std::mem::take(&mut self.poem)),
            None => trigger.errback(connection_lost(lost)),
        }
    }
}
