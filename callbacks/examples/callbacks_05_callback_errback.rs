//! Part 6, client 3.1: the caller passes two functions, one for the poem and one for the error. This is an asynchronous
//! interface; but nothing makes sure that exactly one of the two is called, once.

mod common;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{Address, Factory, Failure, Lost, Protocol, Reactor, Transport};

type Callback = Box<dyn FnOnce(String)>;
type Errback = Box<dyn FnOnce(std::io::Error)>;

struct PoetryProtocol {
    poem: Vec<u8>,
    callback: Option<Callback>,
}

impl Protocol for PoetryProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) {
        self.poem.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Transport, _: Lost) {
        if let Some(callback) = self.callback.take() {
            callback(String::from_utf8_lossy(&self.poem).into_owned());
        }
    }
}

// ANCHOR: get_poetry
struct PoetryFactory {
    callback: RefCell<Option<Callback>>,
    errback: RefCell<Option<Errback>>,
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let callback = self.callback.take();
        Some(Box::new(PoetryProtocol {
            poem: Vec::new(),
            callback,
        }))
    }

    fn connection_failed(&self, _: SocketAddr, error: std::io::Error) {
        if let Some(errback) = self.errback.take() {
            errback(error);
        }
    }
}

fn get_poetry(reactor: &Reactor, address: SocketAddr, callback: Callback, errback: Errback) {
    let factory = PoetryFactory {
        callback: RefCell::new(Some(callback)),
        errback: RefCell::new(Some(errback)),
    };
    let _transport = reactor.connect_tcp(address, Duration::from_secs(10), Rc::new(factory));
}
// ANCHOR_END: get_poetry

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
        let (after_poem, after_error) = (Rc::clone(&missing), Rc::clone(&missing));
        let callback = move |poem: String| {
            print!("{poem}");
            after_poem.one_less();
        };
        let errback = move |error: std::io::Error| {
            println!("Poem download failed: {}", error.kind());
            after_error.one_less();
        };
        get_poetry(&reactor, address, Box::new(callback), Box::new(errback));
    }
    reactor.run()?;
    Ok(())
}
