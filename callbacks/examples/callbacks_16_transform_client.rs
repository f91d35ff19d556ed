//! Part 13, client 6, by hand: the transform has a Deferred of its own, which its protocol fires. A callback of the poem's
//! Deferred returns it, so the poem's chain waits for it. Step 07 has the same with the crate's `transform_or_keep`.

mod common;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Address, Deferred, Factory, Failure, Lost, Poem, Protocol, Reactor, Transport, Trigger,
    get_poetry,
};
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::Decoder;
use poetry::request;

struct TransformProtocol {
    request: Rc<Vec<u8>>,
    decoder: Decoder,
    trigger: Option<Trigger<Poem>>,
}

impl TransformProtocol {
    /// Fires, unless that has happened already.
    fn fire(&mut self, result: Result<Poem, Failure>) {
        if let Some(trigger) = self.trigger.take() {
            trigger.fire(result);
        }
    }
}

impl Protocol for TransformProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        transport.write(&self.request);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        let result = match self.decoder.feed(data).next() {
            Ok(None) => return,
            Ok(Some(reply)) => Poem::from_utf8(reply).map_err(Failure::from),
            Err(error) => Err(error.into()),
        };
        self.fire(result);
        transport.lose_connection();
    }

    fn connection_lost(&mut self, _: &Transport, _: Lost) {
        self.fire(Err(Failure::message("closed without a reply")));
    }
}

struct TransformFactory {
    request: Rc<Vec<u8>>,
    trigger: RefCell<Option<Trigger<Poem>>>,
}

impl Factory for TransformFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(TransformProtocol {
            request: Rc::clone(&self.request),
            decoder: Decoder::new(FRAME_BYTES_MAX),
            trigger: self.trigger.take(),
        }))
    }

    fn connection_failed(&self, _: SocketAddr, error: io::Error) {
        if let Some(trigger) = self.trigger.take() {
            trigger.errback(error);
        }
    }
}

fn cummingsify(reactor: &Reactor, server: SocketAddr, poem: &Poem) -> Deferred<Poem> {
    let mut bytes = Vec::new();
    request::encode("cummingsify", poem.as_str(), &mut bytes);
    let (trigger, transformed) = Deferred::new();
    let factory = TransformFactory {
        request: Rc::new(bytes),
        trigger: RefCell::new(Some(trigger)),
    };
    let _transport = reactor.connect_tcp(server, Duration::from_secs(10), Rc::new(factory));
    transformed
}

fn main() -> Result<(), Failure> {
    let servers = common::poem_and_transform_servers()?;
    let reactor = Reactor::open()?;
    let (context, server) = (reactor.clone(), servers.addresses()[1]);
    let poem = get_poetry(&reactor, servers.address())
        .add_callback(move |poem| cummingsify(&context, server, &poem));
    common::show_and_stop(&reactor, poem);
    reactor.run()?;
    Ok(())
}
