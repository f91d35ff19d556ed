//! Part 11: serving a poem.

use std::cell::Cell;
use std::io::Read;
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{Address, Factory, MemoryReactor, Protocol, Transport};
use futures::future::{self, Either};
use futures::{StreamExt, stream};
use poetry::event::Unobserved;
use poetry::{Options, Pace, PoemService, Service};
use solutions::{runtime, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Shared by all connections: the poem.
struct LinesFactory {
    lines: Rc<[&'static str]>,
}

impl Factory for LinesFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        let lines = Rc::clone(&self.lines);
        Some(Box::new(LinesProtocol { lines, sent: 0 }))
    }
}

/// A connection's own: its place in the poem.
struct LinesProtocol {
    lines: Rc<[&'static str]>,
    sent: usize,
}

impl Protocol for LinesProtocol {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        for line in self.lines.iter().skip(self.sent).take(data.len()) {
            transport.write(line.as_bytes());
            self.sent += 1;
        }
        if self.sent == self.lines.len() {
            transport.lose_connection(); // Once everything is written.
        }
    }
}

#[test]
fn each_connection_has_its_own_place() {
    let lines = Rc::from(["One\n", "Two\n", "Three\n"]);
    let factory: Rc<dyn Factory> = Rc::new(LinesFactory { lines });
    let reactor = MemoryReactor::new();
    let (one, other) = (reactor.accept(&factory), reactor.accept(&factory));
    for (peer, asks, gets) in [
        (&one, "..", "One\nTwo\n"),
        (&other, ".", "One\n"),
        (&one, "...", "Three\n"),
    ] {
        peer.send(asks.as_bytes());
        reactor.settle();
        assert_eq!(String::from_utf8(peer.received()).unwrap(), gets);
    }
    assert!(one.sees_fin() && one.is_closed() && !other.is_closed());
}

/// More than the kernel keeps of a connection, at both ends.
const LONG: usize = 48 << 20;

#[test]
fn a_client_that_never_reads_delays_no_other() {
    let service = PoemService {
        poem: "x".repeat(LONG).into(),
        pace: Pace::Fast,
    };
    for model in models::ALL {
        let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let options = Options::new(models::clock());
        let service = Service::Poem(service.clone());
        let observer = Arc::new(Unobserved);
        let server = model.serve(listener, service, &options, observer).unwrap();
        let stuck = TcpStream::connect(server.address()).unwrap();
        wait_until("it is served", || server.counters().bytes_out > 0);

        let mut poem = Vec::new();
        let mut other = TcpStream::connect(server.address()).unwrap();
        other.read_to_end(&mut poem).unwrap();
        assert_eq!(poem.len(), LONG, "{}", model.name());
        // A poem that is not sent to its end is a request in flight: the first client's.
        let counts = server.counters();
        assert_eq!((counts.answered, counts.in_flight), (1, 1));
        drop(stuck);
    }
}

/// Serves `poem` to at most `at_once` clients at once; others wait in the kernel's backlog. Notes the `most` there were.
async fn serve(listener: TcpListener, at_once: usize, poem: &str, most: &Cell<usize>) {
    let open = &Cell::new(0);
    let connections = stream::unfold(listener, |listener| async move {
        Some((listener.accept().await, listener))
    });
    connections
        .for_each_concurrent(at_once, |accepted| async move {
            let Ok((mut socket, _)) = accepted else {
                return;
            };
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            if socket.write_all(poem.as_bytes()).await.is_ok() {
                // After FIN, waits until the client closes too.
                let _ = socket.shutdown().await;
                let _ = socket.read_to_end(&mut Vec::new()).await;
            }
            open.set(open.get() - 1);
        })
        .await;
}

#[test]
fn at_most_two_are_served_at_once() {
    runtime().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let most = Cell::new(0);
        let clients = future::join_all((0..10).map(|_| streams::get_poetry(address)));
        let server = serve(listener, 2, "Ahoy", &most);
        let Either::Right((poems, _)) = future::select(pin!(server), pin!(clients)).await else {
            panic!("the server has ended");
        };
        for poem in poems {
            assert_eq!(poem.unwrap().as_str(), "Ahoy");
        }
        assert_eq!(most.get(), 2);
    });
}
