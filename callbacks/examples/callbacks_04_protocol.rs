//! Part 5, client 2: a factory builds one protocol for each connection, and the reactor calls it when something happens.

mod common;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{Address, Factory, Failure, Lost, Protocol, Reactor, Transport};

// ANCHOR: protocol
#[derive(Default)]
struct PoetryProtocol {
    poem: Vec<u8>,
}

impl Protocol for PoetryProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) {
        self.poem.extend_from_slice(data);
    }

    /// Takes a reset for the end of the poem, as in the tutorial; `get_poetry`, from step 06 on, fails instead.
    fn connection_lost(&mut self, transport: &Transport, _: Lost) {
        print!("{}", String::from_utf8_lossy(&self.poem));
        let _ = transport.reactor().stop();
    }
}

struct PoetryFactory {
    reactor: Reactor,
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(PoetryProtocol::default()))
    }

    fn connection_failed(&self, peer: SocketAddr, error: std::io::Error) {
        println!("Failed to connect to {peer}: {error}");
        let _ = self.reactor.stop();
    }
}
// ANCHOR_END: protocol

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let factory = Rc::new(PoetryFactory {
        reactor: reactor.clone(),
    });
    let _transport = reactor.connect_tcp(server.address(), Duration::from_secs(10), factory);
    reactor.run()?;
    Ok(())
}
