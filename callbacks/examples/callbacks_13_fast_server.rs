//! Part 11: a server. The same protocol and factory as in a client, but the factory builds a protocol for each connection
//! that the port accepts. Without an argument the step asks itself for its poem; with a port it serves until it is stopped.

mod common;

use std::rc::Rc;

use callbacks::{Address, Factory, Failure, Poem, Protocol, Reactor, Transport, get_poetry};

struct PoetryProtocol {
    poem: Poem,
}

impl Protocol for PoetryProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        transport.write(self.poem.as_bytes());
        transport.lose_connection(); // Once the poem is sent.
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

struct PoetryFactory {
    poem: Poem,
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let poem = self.poem.clone();
        Some(Box::new(PoetryProtocol { poem }))
    }
}

fn main() -> Result<(), Failure> {
    let (listener, asks_itself) = common::listener()?;
    let reactor = Reactor::open()?;
    let factory = PoetryFactory {
        poem: common::POEM.into(),
    };
    let port = reactor.listen_tcp(listener, Rc::new(factory))?;
    if asks_itself {
        common::show_and_stop(&reactor, get_poetry(&reactor, port.address()));
    }
    reactor.run()?;
    Ok(())
}
