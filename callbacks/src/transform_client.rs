//! The transform client (S13): a poem goes out as a request, its transform comes back; if not, the original is kept.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use poetry::error::{Timeout, decode_poem};
use poetry::netstring::Decoder;
use poetry::{FetchError, FetchFailure, Kind, Via, request};

use crate::deferred::coroutine::coroutine;
use crate::deferred::{Deferred, Trigger};
use crate::protocol::{Address, Factory, Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{
    Task, connection_failed, connection_lost, fetch_failure, is_connection_failed, no_address,
};

// ANCHOR: transform
/// The transform that `via` makes of `poem`, or a [`FetchFailure`]. Cancelling it closes its socket at once (S14).
pub fn transform(reactor: &Reactor, via: &Via, poem: &str, task: &Rc<Task>) -> Deferred<String> {
    let limit = task.limits.frame_bytes_max;
    if request::len(&via.transform, poem) > limit {
        return Deferred::fail(FetchFailure::TooLong {
            limit: limit as u64,
        });
    }
    let addresses = match via.peer.addresses() {
        Ok(addresses) => addresses,
        Err(failure) => return Deferred::fail(failure),
    };
    let mut request = Vec::new();
    request::encode(&via.transform, poem, &mut request);
    task.bound(
        reactor,
        try_in_order(reactor, addresses, request.into(), task),
    )
}
// ANCHOR_END: transform

/// A poem that has arrived, transformed or not, and why not.
pub type Transformed = (String, Option<FetchError>);

// ANCHOR: fallback
/// The transform of `poem`; if that fails, `poem` itself and the failure, which is reported here, once (S13). A cancel
/// is no failure of the transform, and is passed on.
///
/// ```
/// use callbacks::{MemoryReactor, Task, transform_or_keep};
/// use poetry::{FetchFailure, Via};
/// use std::net::SocketAddr;
///
/// let reactor = MemoryReactor::new();
/// let peer = SocketAddr::from(([127, 0, 0, 1], 10_002)).into();
/// let via = Via { transform: "shout".to_owned(), peer };
/// let kept = transform_or_keep(&reactor, &via, "Ahoy".to_owned(), &Task::quiet(&reactor));
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// server.finish(); // Without a reply.
/// reactor.settle();
/// let (poem, failure) = kept.take_result().unwrap().unwrap();
/// assert_eq!((poem.as_str(), failure.unwrap().failure), ("Ahoy", FetchFailure::Refused));
/// ```
pub fn transform_or_keep(
    reactor: &Reactor,
    via: &Via,
    poem: String,
    task: &Task,
) -> Deferred<Transformed> {
    let task = task.for_transform();
    let peer = via.peer.clone();
    transform(reactor, via, &poem, &task).add_callbacks(
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

/// [`transform`] as a coroutine (Part 17): the same program, with its waits where they are read.
pub fn transform_in_coroutine(
    reactor: &Reactor,
    via: &Via,
    poem: &str,
    task: &Rc<Task>,
) -> Deferred<String> {
    let (context, task_inside) = (reactor.clone(), Rc::clone(task));
    let (via, poem) = (via.clone(), poem.to_owned());
    let transformed = coroutine(async move {
        let limit = task_inside.limits.frame_bytes_max;
        if request::len(&via.transform, &poem) > limit {
            return Err(FetchFailure::TooLong {
                limit: limit as u64,
            }
            .into());
        }
        let mut bytes = Vec::new();
        request::encode(&via.transform, &poem, &mut bytes);
        let request = bytes.into();
        let mut addresses = via.peer.addresses()?.iter();
        while let Some(&address) = addresses.next() {
            match ask(&context, address, &request, &task_inside).await {
                Err(failure) if addresses.len() > 0 && is_connection_failed(&failure) => {}
                transformed => return transformed,
            }
        }
        Err(no_address().into())
    });
    task.bound(reactor, transformed)
}

/// The transform from the first address that lets us connect.
fn try_in_order(
    reactor: &Reactor,
    addresses: &[SocketAddr],
    request: Rc<[u8]>,
    task: &Rc<Task>,
) -> Deferred<String> {
    let (first, others) = match addresses {
        [] => return Deferred::fail(no_address()),
        [last] => return ask(reactor, *last, &request, task),
        [first, others @ ..] => (*first, others.to_vec()),
    };
    let (context, task) = (reactor.clone(), Rc::clone(task));
    ask(reactor, first, &request, &task).add_errback(move |failure| {
        if is_connection_failed(&failure) {
            try_in_order(&context, &others, request, &task)
        } else {
            Deferred::fail(failure)
        }
    })
}

/// What the server at `address` replies to `request`.
fn ask(
    reactor: &Reactor,
    address: SocketAddr,
    request: &Rc<[u8]>,
    task: &Rc<Task>,
) -> Deferred<String> {
    task.connecting(address);
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

/// Builds the protocol of one request, or hears that there will be none.
struct TransformClientFactory {
    task: Rc<Task>,
    request: Rc<[u8]>,
    trigger: Cell<Option<Trigger<String>>>,
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

/// Sends one request, and waits for one netstring.
struct TransformClientProtocol {
    decoder: Decoder,
    task: Rc<Task>,
    request: Rc<[u8]>,
    trigger: Option<Trigger<String>>,
    received: bool,
    /// How it ended, once that is known: the rest is closing.
    result: Option<Result<String, FetchFailure>>,
}

impl TransformClientProtocol {
    fn end(&mut self, transport: &Transport, result: Result<String, FetchFailure>) {
        self.result = Some(result);
        transport.abort_connection();
    }
}

impl Protocol for TransformClientProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.task.connected(transport);
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        transport.write(&self.request);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.task.read(data.len());
        self.received = true;
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        let result = match self.decoder.feed(data).next() {
            Ok(None) => return,
            Ok(Some(reply)) => decode_poem(reply.to_vec()),
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
