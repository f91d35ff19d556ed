//! A client of a server of netstrings: sends one request and receives one reply (S8, S13).

use std::net::SocketAddr;
use std::rc::Rc;

use poetry::error::{Timeout, decode_poem};
use poetry::netstring::{Decoder, FramingError};
use poetry::{FetchFailure, Peer, Poem};

use crate::deferred::{Deferred, Trigger};
use crate::dialling::{Build, dial, dial_address, hang_up};
use crate::protocol::{Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{Task, connection_lost};

/// A request, and what its reply may be.
pub(crate) struct Exchange {
    /// The request as it goes over the wire.
    pub(crate) request: Vec<u8>,
    /// Bytes in the reply's frame.
    pub(crate) reply_bytes_max: usize,
    /// The failure for a reply that is not a netstring within the limit.
    pub(crate) bad_reply: fn(FramingError) -> FetchFailure,
}

/// Sends the request of `exchange` to `peer`, and fires with the reply; fails with a [`FetchFailure`].
pub(crate) fn ask(
    reactor: &Reactor,
    peer: &Peer,
    exchange: &Rc<Exchange>,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    dial(reactor, peer, task, asking(exchange, task))
}

/// As [`ask`], of the peer at one address.
pub(crate) fn ask_address(
    reactor: &Reactor,
    address: SocketAddr,
    exchange: &Rc<Exchange>,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    dial_address(reactor, address, task, asking(exchange, task))
}

fn asking(exchange: &Rc<Exchange>, task: &Rc<Task>) -> impl Build + use<> {
    let (exchange, task) = (Rc::clone(exchange), Rc::clone(task));
    move |trigger| {
        Box::new(NetstringClientProtocol {
            decoder: Decoder::new(exchange.reply_bytes_max),
            task: Rc::clone(&task),
            exchange: Rc::clone(&exchange),
            trigger: Some(trigger),
            received: false,
            result: None,
        })
    }
}

/// Sends one request and receives one netstring.
struct NetstringClientProtocol {
    decoder: Decoder,
    task: Rc<Task>,
    exchange: Rc<Exchange>,
    trigger: Option<Trigger<Poem>>,
    received: bool,
    /// How the exchange ended, once that is known; the connection then closes.
    result: Option<Result<Poem, FetchFailure>>,
}

impl NetstringClientProtocol {
    fn end(&mut self, transport: &Transport, result: Result<Poem, FetchFailure>) {
        self.result = Some(result);
        hang_up(transport);
    }
}

impl Protocol for NetstringClientProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.task.on_connected(transport);
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        transport.write(&self.exchange.request);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.task.on_bytes_read(data.len());
        self.received = true;
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        let result = match self.decoder.feed(data).next() {
            Ok(None) => return,
            Ok(Some(reply)) => decode_poem(reply.to_vec()).map(Poem::from),
            Err(error) => Err((self.exchange.bad_reply)(error)),
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
