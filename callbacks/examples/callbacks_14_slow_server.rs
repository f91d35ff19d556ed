//! Part 2's slow server, in the reactor: ten bytes, and then the reactor is asked to call again a moment later. Meanwhile it
//! serves others. The delay is over when `timeout_connection` is called; if the client leaves before, it is not.

mod common;

use std::rc::Rc;
use std::time::Duration;

use callbacks::{Address, Factory, Failure, Poem, Protocol, Reactor, Transport, get_poetry};

const NUM_BYTES: usize = 10;
const DELAY: Duration = Duration::from_millis(100);

struct PoetryProtocol {
    poem: Poem,
    sent: usize,
}

impl PoetryProtocol {
    fn write_some(&mut self, transport: &Transport) {
        let rest = &self.poem.as_bytes()[self.sent..];
        let chunk = &rest[..rest.len().min(NUM_BYTES)];
        if chunk.is_empty() {
            return transport.lose_connection();
        }
        transport.write(chunk);
        self.sent += chunk.len();
        transport.set_timeout(Some(DELAY));
    }
}

impl Protocol for PoetryProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.write_some(transport);
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {}

    fn timeout_connection(&mut self, transport: &Transport) {
        self.write_some(transport);
    }
}

struct PoetryFactory {
    poem: Poem,
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let poem = self.poem.clone();
        Some(Box::new(PoetryProtocol { poem, sent: 0 }))
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
