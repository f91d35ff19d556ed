//! Part 14, proxy 1: a server that is a client. It fetches the poem for each of its clients; the callback of that Deferred
//! writes the poem to the client. Look at the number of fetches.

mod common;

use std::cell::Cell;
use std::net::TcpListener;
use std::rc::Rc;

use callbacks::{
    Address, Deferred, DeferredList, Factory, Failure, Peer, Poem, Protocol, Reactor, Transport,
    get_poetry,
};

struct ProxyService {
    reactor: Reactor,
    upstream: Peer,
    fetches: Cell<usize>,
}

impl ProxyService {
    fn get_poem(self: &Rc<Self>) -> Deferred<Poem> {
        self.fetches.set(self.fetches.get() + 1);
        get_poetry(&self.reactor, self.upstream.clone())
    }
}

struct ProxyProtocol {
    service: Rc<ProxyService>,
}

impl Protocol for ProxyProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        let transport = transport.clone();
        let _sent = self.service.get_poem().add_both(move |poem| {
            match poem {
                Ok(poem) => {
                    transport.write(poem.as_bytes());
                    transport.lose_connection();
                }
                // A reset: the client would take an ordinary end for an empty poem.
                Err(_) => transport.abort_connection(),
            }
            Ok(())
        });
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

struct ProxyFactory {
    service: Rc<ProxyService>,
}

impl Factory for ProxyFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let service = Rc::clone(&self.service);
        Some(Box::new(ProxyProtocol { service }))
    }
}

fn main() -> Result<(), Failure> {
    let upstream = common::poem_server()?;
    let reactor = Reactor::open()?;
    let service = Rc::new(ProxyService {
        reactor: reactor.clone(),
        upstream: upstream.all[0].clone(),
        fetches: Cell::new(0),
    });
    let factory = ProxyFactory {
        service: Rc::clone(&service),
    };
    let proxy = reactor.listen_tcp(TcpListener::bind("127.0.0.1:0")?, Rc::new(factory))?;

    // Three clients at once, and then a fourth.
    let (context, proxy) = (reactor.clone(), proxy.address());
    let first = (0..3).map(|_| get_poetry(&reactor, proxy)).collect();
    let last = DeferredList::new(first)
        .all()
        .add_callback(move |_| get_poetry(&context, proxy));
    common::show_and_stop(&reactor, last);
    reactor.run()?;
    println!("Fetches for 4 clients: {}", service.fetches.get());
    Ok(())
}
