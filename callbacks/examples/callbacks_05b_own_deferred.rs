//! Part 8, client 4: one Deferred instead of two functions. Its trigger can be used only once, and if it is dropped unused,
//! the Deferred fails. The caller adds the functions to what `get_poetry` returns, so one of them is called, once.

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{Address, Deferred, Factory, Failure, Lost, Protocol, Reactor, Transport, Trigger};

struct PoetryProtocol {
    poem: Vec<u8>,
    trigger: Option<Trigger<String>>,
}

impl Protocol for PoetryProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) {
        self.poem.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Transport, _: Lost) {
        if let Some(trigger) = self.trigger.take() {
            trigger.callback(String::from_utf8_lossy(&self.poem).into_owned());
        }
    }
}

struct PoetryFactory {
    trigger: RefCell<Option<Trigger<String>>>,
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let trigger = self.trigger.take();
        Some(Box::new(PoetryProtocol {
            poem: Vec::new(),
            trigger,
        }))
    }

    fn connection_failed(&self, _: SocketAddr, error: io::Error) {
        if let Some(trigger) = self.trigger.take() {
            trigger.errback(error);
        }
    }
}

fn get_poetry(reactor: &Reactor, address: SocketAddr) -> Deferred<String> {
    let (trigger, poem) = Deferred::new();
    let factory = PoetryFactory {
        trigger: RefCell::new(Some(trigger)),
    };
    let _transport = reactor.connect_tcp(address, Duration::from_secs(10), Rc::new(factory));
    poem
}

/// The number of poems that have neither arrived nor failed.
struct Missing {
    count: Cell<usize>,
    reactor: Reactor,
}

impl Missing {
    /// One poem has arrived or failed; the last one stops the reactor.
    fn one_less(&self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() == 0 {
            let _ = self.reactor.stop();
        }
    }
}

fn main() -> Result<(), Failure> {
    let servers = common::poem_servers()?;
    let reactor = Reactor::open()?;
    let addresses = servers.addresses();
    let missing = Rc::new(Missing {
        count: Cell::new(addresses.len()),
        reactor: reactor.clone(),
    });
    for address in addresses {
        let missing = Rc::clone(&missing);
        let callback = |poem: String| {
            print!("{poem}");
            Ok(())
        };
        let errback = |failure: Failure| {
            let error: io::Error = failure.trap()?;
            println!("Poem download failed: {}", error.kind());
            Ok(())
        };
        let _shown = get_poetry(&reactor, address)
            .add_callbacks(callback, errback)
            .add_both(move |shown| {
                missing.one_less();
                shown
            });
    }
    reactor.run()?;
    Ok(())
}
