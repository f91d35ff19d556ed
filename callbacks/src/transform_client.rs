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
use crate::failure::Failure;
use crate::protocol::{Address, Factory, Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{Task, connection_failed, connection_lost, fetch_failure};

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
        Ok(addresses) => addresses.to_vec(),
        Err(failure) => return Deferred::fail(failure),
    };
    let mut bytes = Vec::new();
    request::encode(&via.transform, poem, &mut bytes);
    let reply = try_in_order(
        reactor.clone(),
        addresses.into_iter(),
        bytes.into(),
        Rc::clone(task),
    );
    task.bound(reactor, reply.add_callback(|bytes| Ok(decode_poem(bytes)?)))
}
// ANCHOR_END: transform

/// A poem that has arrived, transformed or not, and why not.
pub type Transformed = (String, Option<FetchError>);

// ANCHOR: fallback
/// The transform of `poem`; if that fails, `poem` itself and the failure, which is reported here, once (S13). A cancel
/// is no failure of the transform, and is passed on.
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
                reply => return Ok(decode_poem(reply?)?),
            }
        }
        Err(no_address().into())
    });
    task.bound(reactor, transformed)
}

/// The reply of the first address that lets us connect.
fn try_in_order(
    reactor: Reactor,
    mut addresses: std::vec::IntoIter<SocketAddr>,
    request: Rc<[u8]>,
    task: Rc<Task>,
) -> Deferred<Vec<u8>> {
    let Some(address) = addresses.next() else {
        return Deferred::fail(no_address());
    };
    ask(&reactor, address, &request, &task).add_errback(move |failure| {
        match failure.downcast_ref() {
            Some(FetchFailure::ConnectionFailed { .. }) if addresses.len() > 0 => {
                try_in_order(reactor, addresses, request, task)
            }
            _ => Deferred::fail(failure),
        }
    })
}

fn no_address() -> FetchFailure {
    FetchFailure::ConnectionFailed {
        cause: "no address".to_owned(),
    }
}

/// Whether another address may do better.
fn is_connection_failed(failure: &Failure) -> bool {
    matches!(
        failure.downcast_ref(),
        Some(FetchFailure::ConnectionFailed { .. })
    )
}

/// The reply of the server at `address` to `request`.
fn ask(
    reactor: &Reactor,
    address: SocketAddr,
    request: &Rc<[u8]>,
    task: &Rc<Task>,
) -> Deferred<Vec<u8>> {
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
    trigger: Cell<Option<Trigger<Vec<u8>>>>,
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
    trigger: Option<Trigger<Vec<u8>>>,
    received: bool,
    /// How it ended, once that is known: the rest is closing.
    result: Option<Result<Vec<u8>, FetchFailure>>,
}

impl TransformClientProtocol {
    fn end(&mut self, transport: &Transport, result: Result<Vec<u8>, FetchFailure>) {
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
            Ok(Some(reply)) => Ok(reply.to_vec()),
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
