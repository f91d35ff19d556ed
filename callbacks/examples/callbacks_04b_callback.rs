//! Part 6, client 3: the caller passes a function for the poem, and `get_poetry` returns at once. A failure has no way back:
//! no function is called for the server that is down, and the caller does not learn which poem is missing, or why.

mod common;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{Address, Factory, Failure, Lost, Protocol, Reactor, Transport};

type Callback = Box<dyn FnOnce(String)>;

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

struct PoetryFactory {
    callback: RefCell<Option<Callback>>,
}

impl Factory for PoetryFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let callback = self.callback.take();
        Some(Box::new(PoetryProtocol {
            poem: Vec::new(),
            callback,
        }))
    }
}

fn get_poetry(reactor: &Reactor, address: SocketAddr, callback: Callback) {
    let factory = PoetryFactory {
        callback: RefCell::new(Some(callback)),
    };
    let _transport = reactor.connect_tcp(address, Duration::from_secs(10), Rc::new(factory));
}

/// The number of poems that have arrived. Every callback holds it.
struct Arrived {
    count: Cell<usize>,
    wanted: usize,
    reactor: Reactor,
}

/// The last callback was called, or dropped unused. The client of the tutorial, in Python, waits for ever instead.
impl Drop for Arrived {
    fn drop(&mut self) {
        println!("{} of {} poems arrived", self.count.get(), self.wanted);
        let _ = self.reactor.stop();
    }
}

fn main() -> Result<(), Failure> {
    let servers = common::poem_servers()?;
    let reactor = Reactor::open()?;
    let addresses = servers.addresses();
    let arrived = Rc::new(Arrived {
        count: Cell::new(0),
        wanted: addresses.len(),
        reactor: reactor.clone(),
    });
    for address in addresses {
        let arrived = Rc::clone(&arrived);
        let callback = move |poem: String| {
            print!("{poem}");
            arrived.count.set(arrived.count.get() + 1);
        };
        get_poetry(&reactor, address, Box::new(callback));
    }
    reactor.call_when_running(move || drop(arrived));
    reactor.run()?;
    Ok(())
}
