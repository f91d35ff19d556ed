//! The promises about connections (R9), and what a panic costs one (R4); in memory and on virtual time where that is
//! possible.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Address, Factory, Lost, MemoryReactor, Producer, Protocol, Reactor, Side, Transport, log,
};

use common::{Journal, SECOND, unhandled};

/// Notes the calls it gets in a journal; `data_received` runs the function.
#[derive(Clone)]
struct Notes(Journal, fn(&Transport, &[u8]));

impl Factory for Notes {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        self.0.note(match address.side {
            Side::Accepted { serial } => format!("accepted {serial}"),
            Side::Initiated => "initiated".to_owned(),
        });
        Some(Box::new(self.clone()))
    }

    fn connection_failed(&self, _: std::net::SocketAddr, error: std::io::Error) {
        self.0.note(format!("failed: {error}"));
    }
}

impl Protocol for Notes {
    fn connection_made(&mut self, _: &Transport) {
        self.0.note("made");
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        (self.1)(transport, data);
    }

    fn connection_lost(&mut self, _: &Transport, lost: Lost) {
        self.0.note(match lost {
            Lost::Done => "lost: done".to_owned(),
            Lost::Aborted => "lost: aborted".to_owned(),
            Lost::Broken(error) => format!("lost: {error}"),
        });
    }
}

fn notes(act: fn(&Transport, &[u8])) -> (MemoryReactor, Journal, Rc<dyn Factory>) {
    let journal = Journal::default();
    (
        MemoryReactor::new(),
        journal.clone(),
        Rc::new(Notes(journal, act)),
    )
}

#[test]
fn r4_a_panic_in_data_received_drops_only_that_connection() {
    log::set_hook(|_| ());
    let (reactor, _, factory) = notes(|transport, data| {
        assert_ne!(data, b"bad", "a bad peer");
        transport.write(data);
    });
    let (bad, good) = (reactor.accept(&factory), reactor.accept(&factory));
    bad.send(b"bad");
    good.send(b"good");
    reactor.settle();
    assert!(bad.is_closed() && !good.is_closed());
    assert_eq!(
        (good.received(), reactor.connections()),
        (b"good".to_vec(), 1)
    );
}

#[test]
fn r9_a_factory_builds_many_protocols_and_distinguishes_accepted_initiated_failed_and_lost() {
    let (reactor, journal, factory) = notes(|_, _| ());
    let peers = [reactor.accept(&factory), reactor.accept(&factory)];
    assert_eq!(journal.take(), ["accepted 0", "made", "accepted 1", "made"]);
    let address = ([127, 0, 0, 1], 9).into();
    drop(reactor.connect_tcp(address, SECOND, Rc::clone(&factory)));
    reactor.dialled()[0].accept();
    reactor.settle();
    assert_eq!(journal.take(), ["initiated", "made"]);
    drop(reactor.connect_tcp(address, SECOND, Rc::clone(&factory)));
    reactor.dialled()[0].fail(ErrorKind::ConnectionRefused);
    reactor.settle();
    drop(reactor.connect_tcp(address, SECOND, factory));
    reactor.advance(SECOND);
    assert_eq!(
        journal.take(),
        ["failed: connection refused", "failed: timed out"]
    );
    peers[0].finish();
    peers[1].fail(ErrorKind::ConnectionReset);
    reactor.settle();
    assert_eq!(journal.take(), ["lost: done", "lost: connection reset"]);
}

#[test]
fn r9_lose_connection_flushes_and_abort_connection_does_not() {
    let (reactor, journal, factory) = notes(|transport, data| {
        transport.write(b"a long reply");
        if data == b"lose" {
            transport.lose_connection();
        } else {
            transport.abort_connection();
        }
    });
    for (word, received, end) in [
        ("lose", &b"a long reply"[..], "lost: done"),
        ("abort", b"a lo", "lost: aborted"),
    ] {
        let peer = reactor.accept(&factory);
        peer.limit_room(4);
        peer.send(word.as_bytes());
        reactor.settle();
        assert_eq!(peer.is_closed(), word == "abort");
        peer.limit_room(100);
        reactor.settle();
        assert_eq!(peer.received(), received);
        assert!(peer.is_closed());
        assert_eq!(journal.take().last().unwrap(), end);
    }
}

#[test]
fn r9_back_pressure_goes_both_ways() {
    let (reactor, _, factory) = notes(|transport, data| {
        transport.register_producer(Rc::new(transport.clone()));
        transport.write(&data.repeat(20));
    });
    let peer = reactor.accept(&factory);
    peer.limit_room(10);
    peer.send(&[b'x'; 10_000]);
    reactor.settle();
    assert_eq!(peer.unread(), 0);
    peer.send(b"more");
    reactor.settle();
    assert_eq!(peer.unread(), 4, "read although replies are unsent");
    peer.limit_room(usize::MAX);
    reactor.settle();
    assert_eq!((peer.unread(), peer.received().len()), (0, 200_080));
}

/// Otherwise it would stay paused for ever.
#[test]
fn r9_a_paused_producer_is_stopped_when_its_consumer_closes() {
    let (reactor, journal, factory) = notes(|_, _| ());
    let transports: Rc<RefCell<Vec<Transport>>> = Rc::default();
    let keeps = Rc::new(Keeps(Rc::clone(&transports), factory));
    let [upstream, client] = [(); 2].map(|()| reactor.accept(&(Rc::clone(&keeps) as _)));
    let (from, to) = (
        transports.borrow()[0].clone(),
        transports.borrow()[1].clone(),
    );
    to.register_producer(Rc::new(from));
    client.limit_room(0);
    to.write(&[0; 100_000]);
    upstream.send(b"this waits");
    reactor.settle();
    assert_eq!(upstream.unread(), 10);
    journal.take();
    client.fail(ErrorKind::ConnectionReset);
    reactor.settle();
    assert_eq!(journal.take(), ["lost: connection reset", "lost: done"]);
    assert!(upstream.is_closed());
}

/// Keeps the transports of the protocols that the inner factory builds.
struct Keeps(Rc<RefCell<Vec<Transport>>>, Rc<dyn Factory>);

impl Factory for Keeps {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let protocol = self.1.build_protocol(address)?;
        Some(Box::new(Kept(Rc::clone(&self.0), protocol)))
    }
}

struct Kept(Rc<RefCell<Vec<Transport>>>, Box<dyn Protocol>);

impl Protocol for Kept {
    fn connection_made(&mut self, transport: &Transport) {
        self.0.borrow_mut().push(transport.clone());
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.1.data_received(transport, data);
    }

    fn connection_lost(&mut self, transport: &Transport, reason: Lost) {
        self.1.connection_lost(transport, reason);
    }
}

#[test]
fn no_cycle_keeps_a_socket_open() {
    /// Keeps every handle it can get.
    struct Greedy(Option<(Transport, Reactor)>);
    impl Protocol for Greedy {
        fn connection_made(&mut self, transport: &Transport) {
            self.0 = Some((transport.clone(), transport.reactor()));
            let held = transport.clone();
            drop(transport.reactor().call_later(SECOND, move || drop(held)));
        }

        fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    }
    impl Factory for Greedy {
        fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
            Some(Box::new(Greedy(None)))
        }
    }
    let reactor = MemoryReactor::new();
    let peer = reactor.accept(&(Rc::new(Greedy(None)) as Rc<dyn Factory>));
    assert!(!peer.is_closed());
    drop(reactor);
    assert!(peer.is_closed());
}

/// Echoes, but panics in the call of this name.
#[derive(Clone, Copy)]
struct PanicsWhen(&'static str);

impl PanicsWhen {
    fn called(self, name: &str) {
        assert_ne!(self.0, name, "panics when {name}");
    }
}

impl Factory for PanicsWhen {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        self.called("built");
        Some(Box::new(*self))
    }

    fn connection_failed(&self, _: SocketAddr, _: std::io::Error) {
        self.called("failed");
    }
}

impl Protocol for PanicsWhen {
    fn connection_made(&mut self, transport: &Transport) {
        if self.0 == "timed out" {
            transport.set_timeout(Some(SECOND));
        }
        self.called("made");
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.called("received");
        transport.write(data);
    }

    fn data_sent(&mut self, _: &Transport, _: usize) {
        self.called("sent");
    }

    fn resume_producing(&mut self, _: &Transport) {
        self.called("resumed");
    }

    fn read_connection_lost(&mut self, transport: &Transport) {
        self.called("ended");
        transport.lose_connection();
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        self.called("timed out");
        transport.lose_connection();
    }

    fn shut_down(&mut self, transport: &Transport) {
        self.called("shut down");
        transport.lose_connection();
    }

    fn connection_lost(&mut self, _: &Transport, _: Lost) {
        self.called("lost");
    }
}

#[test]
fn r4_a_panic_in_any_call_drops_only_that_connection() {
    let calls = [
        "built",
        "failed",
        "made",
        "received",
        "sent",
        "resumed",
        "ended",
        "timed out",
        "lost",
    ];
    for call in calls {
        let panics = unhandled();
        let reactor = MemoryReactor::new();
        let good = reactor.accept(&(Rc::new(PanicsWhen("never")) as Rc<dyn Factory>));
        let address = ([127, 0, 0, 1], 9).into();
        drop(reactor.connect_tcp(address, SECOND, Rc::new(PanicsWhen(call))));
        let bad = reactor.dialled().remove(0);
        match call {
            "failed" => bad.fail(ErrorKind::ConnectionRefused),
            _ => bad.accept(),
        }
        reactor.settle();
        bad.limit_room(1);
        bad.send(b"two");
        reactor.settle();
        bad.limit_room(2);
        reactor.settle();
        reactor.advance(SECOND);
        bad.finish();
        reactor.settle();
        assert_eq!(panics.get(), 1, "a panic when {call}");
        assert!(bad.is_closed(), "although it panicked when {call}");
        good.send(b"still here");
        reactor.settle();
        assert_eq!(good.received(), b"still here", "a panic when {call}");
    }
}

#[test]
fn r4_a_panic_during_the_shutdown_of_all_connections_does_not_stop_it() {
    log::set_hook(|_| ());
    let reactor = MemoryReactor::new();
    let peers = ["shut down", "lost", "never"]
        .map(|call| reactor.accept(&(Rc::new(PanicsWhen(call)) as Rc<dyn Factory>)));
    reactor.shut_down_connections();
    reactor.settle();
    assert!(peers.iter().all(|peer| peer.is_closed()));
    assert_eq!(reactor.connections(), 0);
}

#[test]
fn r4_a_panic_when_the_reactor_is_dropped_leaves_no_socket_open() {
    log::set_hook(|_| ());
    let reactor = MemoryReactor::new();
    let peers = ["lost", "never"]
        .map(|call| reactor.accept(&(Rc::new(PanicsWhen(call)) as Rc<dyn Factory>)));
    drop(reactor);
    assert!(peers.iter().all(|peer| peer.is_closed()));
}

/// The kernel announces readiness once: if the panic ended accepting, the second client would wait for a third.
#[test]
fn r4_a_panicking_factory_drops_one_of_the_connections_in_the_backlog() {
    struct PanicsFirst(Cell<bool>);
    impl Factory for PanicsFirst {
        fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
            assert!(self.0.replace(true), "the first");
            PanicsWhen("lost").build_protocol(address)
        }
    }
    log::set_hook(|_| ());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    let reactor = Reactor::open().unwrap();
    let factory = Rc::new(PanicsFirst(Cell::new(false)));
    reactor.listen_tcp(listener, factory).unwrap();
    let remote = reactor.remote();
    let client = std::thread::spawn(move || {
        let mut echo = [0; 4];
        clients[1].set_read_timeout(Some(SECOND * 10)).unwrap();
        clients[1].write_all(b"ahoy").unwrap();
        let read = clients[1].read_exact(&mut echo).map(|()| echo);
        remote
            .call_from_thread(|reactor| reactor.stop().unwrap())
            .unwrap();
        read
    });
    reactor.run().unwrap();
    assert_eq!(&client.join().unwrap().unwrap(), b"ahoy");
}

#[test]
fn r9_aborting_a_connection_that_is_being_made_calls_nothing() {
    let (reactor, journal, factory) = notes(|_, _| ());
    let address = ([127, 0, 0, 1], 9).into();
    let transport = reactor.connect_tcp(address, SECOND, factory).unwrap();
    let peer = reactor.dialled().remove(0);
    transport.abort_connection();
    peer.accept();
    reactor.advance(SECOND * 2);
    assert!(peer.is_closed() && journal.take().is_empty());
}

#[test]
fn r9_a_connection_without_a_protocol_is_closed_at_once() {
    struct BuildsNothing;
    impl Factory for BuildsNothing {
        fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
            None
        }
    }
    let reactor = MemoryReactor::new();
    let accepted = reactor.accept(&(Rc::new(BuildsNothing) as Rc<dyn Factory>));
    assert!(accepted.is_closed());
    drop(reactor.connect_tcp(([127, 0, 0, 1], 9).into(), SECOND, Rc::new(BuildsNothing)));
    let dialled = reactor.dialled().remove(0);
    dialled.accept();
    reactor.settle();
    assert!(dialled.is_closed());
    assert_eq!(reactor.connections(), 0);
}

#[test]
fn r9_the_write_side_ends_after_what_was_written_and_reading_goes_on() {
    let (reactor, journal, factory) = notes(|transport, _| {
        transport.write(b"the last reply");
        transport.lose_write_connection();
        assert_eq!(transport.write(b"too late"), 0);
    });
    let peer = reactor.accept(&factory);
    peer.limit_room(4);
    peer.send(b"a request");
    reactor.settle();
    assert!(!peer.sees_fin());
    peer.limit_room(100);
    reactor.settle();
    assert!(peer.sees_fin() && !peer.is_closed());
    assert_eq!(peer.received(), b"the last reply");
    peer.send(b"more input");
    reactor.settle();
    assert_eq!(peer.unread(), 0);
    peer.finish();
    reactor.settle();
    assert_eq!(journal.take().last().unwrap(), "lost: done");
}

#[test]
fn r9_a_closed_transport_takes_nothing_and_calls_nothing() {
    let (reactor, journal, factory) = notes(|transport, _| transport.abort_connection());
    let address = ([127, 0, 0, 1], 9).into();
    let transport = reactor.connect_tcp(address, SECOND, factory).unwrap();
    let peer = reactor.dialled().remove(0);
    peer.accept();
    peer.send(b"x");
    reactor.settle();
    assert_eq!(journal.take().last().unwrap(), "lost: aborted");
    assert_eq!((transport.write(b"x"), transport.offer(b"x")), (0, 0));
    transport.set_timeout(Some(Duration::ZERO));
    transport.resume_producing();
    transport.lose_connection();
    peer.send(b"y");
    peer.finish();
    reactor.advance(SECOND);
    assert!(journal.take().is_empty() && peer.received().is_empty());
}

#[test]
fn r9_a_paused_transport_reads_nothing() {
    let (reactor, _, factory) = notes(|transport, _| transport.pause_producing());
    let peer = reactor.accept(&factory);
    peer.send(b"a");
    reactor.settle();
    peer.send(b"b");
    reactor.settle();
    assert_eq!(peer.unread(), 1);
}
