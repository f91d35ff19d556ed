//! The transform client (S13): sends a poem as a request and receives its transform; if that fails, keeps the original.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use poetry::error::{Timeout, decode_poem};
use poetry::netstring::Decoder;
use poetry::{FetchError, FetchFailure, Kind, Poem, Role, Via, request};

use crate::deferred::coroutine::coroutine;
use crate::deferred::{Deferred, Trigger};
use crate::protocol::{Address, Factory, Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{
    Task, connection_failed, connection_lost, fetch_failure, is_connection_failed, no_address,
};

// ANCHOR: transform
/// Sends `poem` to the transform server of `via`, and fires with the reply; fails with a [`FetchFailure`]. Cancelling it closes
/// the socket at once (S14).
///
/// ```
/// use callbacks::{MemoryReactor, Poem, Via, transform};
///
/// let reactor = MemoryReactor::new();
/// let via = Via { transform: "shout".to_owned(), peer: "10002".parse()? };
/// let shouted = transform(&reactor, &via, &Poem::from("Ahoy"));
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// reactor.settle();
/// assert_eq!(server.received(), b"10:shout.Ahoy,");
/// server.send(b"4:AHOY,");
/// reactor.settle();
/// assert_eq!(shouted.take_result().unwrap().unwrap().as_str(), "AHOY");
/// # Ok::<(), String>(())
/// ```
pub fn transform(reactor: &Reactor, via: &Via, poem: &Poem) -> Deferred<Poem> {
    let task = Task::unobserved(reactor, Role::TransformClient);
    transform_with(reactor, via, poem, &task)
}

/// As [`transform`], with the limits and the observer of `task`.
pub fn transform_with(
    reactor: &Reactor,
    via: &Via,
    poem: &Poem,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    let request = match encode_request(via, poem, task) {
        Ok(request) => request,
        Err(failure) => return Deferred::fail(failure),
    };
    match via.peer.addresses() {
        Ok(addresses) => task.bound(reactor, try_in_order(reactor, addresses, request, task)),
        Err(failure) => Deferred::fail(failure),
    }
}
// ANCHOR_END: transform

/// A poem that has arrived, transformed or not, and if not, why.
pub type Transformed = (Poem, Option<FetchError>);

// ANCHOR: fallback
/// The transform of `poem`; if that fails, `poem` itself and the failure (S13). Only a cancel fails the Deferred.
///
/// ```
/// use callbacks::{FetchFailure, MemoryReactor, Poem, Via, transform_or_keep};
///
/// let reactor = MemoryReactor::new();
/// let via = Via { transform: "shout".to_owned(), peer: "10002".parse()? };
/// let kept = transform_or_keep(&reactor, &via, Poem::from("Ahoy"));
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// server.finish(); // Without a reply.
/// reactor.settle();
/// let (poem, failure) = kept.take_result().unwrap().unwrap();
/// assert_eq!((poem.as_str(), failure.unwrap().failure), ("Ahoy", FetchFailure::Refused));
/// # Ok::<(), String>(())
/// ```
pub fn transform_or_keep(reactor: &Reactor, via: &Via, poem: Poem) -> Deferred<Transformed> {
    let task = Task::unobserved(reactor, Role::PoemClient);
    transform_or_keep_with(reactor, via, poem, &task)
}

/// As [`transform_or_keep`], with the limits and the observer of the task that fetched the poem. The failure is reported
/// as an event.
pub fn transform_or_keep_with(
    reactor: &Reactor,
    via: &Via,
    poem: Poem,
    task: &Task,
) -> Deferred<Transformed> {
    let task = task.for_transform();
    let peer = via.peer.clone();
    transform_with(reactor, via, &poem, &task).add_callbacks(
        |transformed| Ok((transformed, None)),
        move |failure| match fetch_failure(failure) {
            FetchFailure::Cancelled => Err(FetchFailure::Cancelled.into()),
            failure => {
                task.report(Kind::Failed(failure.clone()));
                Ok((poem, Some(FetchError::new(peer, failure))))
            }
        },
    )
}
// ANCHOR_END: fallback

/// [`transform_with`] as a coroutine (Part 17): the same program, with each wait where it is read.
pub fn transform_in_coroutine(
    reactor: &Reactor,
    via: &Via,
    poem: &Poem,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    let (context, task_inside) = (reactor.clone(), Rc::clone(task));
    let (via, poem) = (via.clone(), poem.clone());
    let transformed = coroutine(async move {
        let request = encode_request(&via, &poem, &task_inside)?;
        let mut addresses = via.peer.addresses()?.iter();
        while let Some(&address) = addresses.next() {
            match request_from(&context, address, &request, &task_inside).await {
                Err(failure) if addresses.len() > 0 && is_connection_failed(&failure) => {}
                transformed => return transformed,
            }
        }
        Err(no_address().into())
    });
    task.bound(reactor, transformed)
}

fn encode_request(via: &Via, poem: &Poem, task: &Task) -> Result<Rc<[u8]>, FetchFailure> {
    let limit = task.limits.frame_bytes_max;
    if request::len(&via.transform, poem.as_str()) > limit {
        return Err(FetchFailure::TooLong {
            limit: limit as u64,
        });
    }
    let mut request = Vec::new();
    request::encode(&via.transform, poem.as_str(), &mut request);
    Ok(request.into())
}

/// Requests the transform from the first address that accepts a connection.
fn try_in_order(
    reactor: &Reactor,
    addresses: &[SocketAddr],
    request: Rc<[u8]>,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    let (first, others) = match addresses {
        [] => return Deferred::fail(no_address()),
        [last] => return request_from(reactor, *last, &request, task),
        [first, others @ ..] => (*first, others.to_vec()),
    };
    let (context, task) = (reactor.clone(), Rc::clone(task));
    request_from(reactor, first, &request, &task).add_errback(move |failure| {
        if is_connection_failed(&failure) {
            try_in_order(&context, &others, request, &task)
        } else {
            Deferred::fail(failure)
        }
    })
}

/// Sends `request` to `address` and receives one reply.
fn request_from(
    reactor: &Reactor,
    address: SocketAddr,
    request: &Rc<[u8]>,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    task.on_connecting(address);
    let factory = Rc::new(TransformClientFactory {
        task: Rc::clone(task),
        request: Rc::clone(request),
        trigger: Cell::new(None),
    });
    let transport = reactor.connect_tcp(
        address,
        task.limits.connect_timeout,
        Rc::clone(&factory) as _,
    );
    let (trigger, reply) = Deferred::with_canceller(move || {
        transport.iter().for_each(Transport::abort_connection);
        None
    });
    factory.trigger.set(Some(trigger));
    reply
}

/// Builds the protocol of one request, or fails the request if the connection is never established.
struct TransformClientFactory {
    task: Rc<Task>,
    request: Rc<[u8]>,
    trigger: Cell<Option<Trigger<Poem>>>,
}

impl Factory for TransformClientFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(TransformClientProtocol {
            decoder: Decoder::new(self.task.limits.frame_bytes_max),
            task: Rc::clone(&self.task),
            request: Rc::clone(&self.request),
            trigger: self.trigger.take(),
            received: false,
            result: None,
        }))
    }

    fn connection_failed(&self, _: SocketAddr, error: io::Error) {
        if let Some(trigger) = self.trigger.take() {
            trigger.errback(connection_failed(&error));
        }
    }
}

/// Sends one request and receives one netstring.
struct TransformClientProtocol {
    decoder: Decoder,
    task: Rc<Task>,
    request: Rc<[u8]>,
    trigger: Option<Trigger<Poem>>,
    received: bool,
    /// How the request ended, once that is known; the connection then closes.
    result: Option<Result<Poem, FetchFailure>>,
}

impl TransformClientProtocol {
    fn end(&mut self, transport: &Transport, result: Result<Poem, FetchFailure>) {
        self.result = Some(result);
        transport.abort_connection();
    }
}

impl Protocol for TransformClientProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.task.on_connected(transport);
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        transport.write(&self.request);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.task.on_bytes_read(data.len());
        self.received = true;
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        let result = match self.decoder.feed(data).next() {
            Ok(None) => return,
            Ok(Some(reply)) => decode_poem(reply.to_vec()).map(Poem::from),
            Err(error) => Err(FetchFailure::Garbled(error)),
        };
        self.end(transport, result);
    }

    fn data_sent(&mut self, transport: &Transport, _: usize) {
        transport.set_timeout(Some(self.task.limits.idle_timeout));
    }

    fn read_connection_lost(&mut self, transport: &Transport) {
        let failure = if self.received {
            FetchFailure::CutShort
        } else {
            FetchFailure::Refused
        };
        self.end(transport, Err(failure));
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        self.end(transport, Err(FetchFailure::TimedOut(Timeout::Idle)));
    }

    fn connection_lost(&mut self, _: &Transport, lost: Lost) {
        let Some(trigger) = self.trigger.take() else {
            return;
        };
        match self.result.take() {
            Some(Ok(reply)) => trigger.callback(reply),
            Some(Err(failure)) => trigger.errback(failure),
            None => trigger.errback(connection_lost(lost)),
        }
    }
}
