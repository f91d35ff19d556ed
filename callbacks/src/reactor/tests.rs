//! Promises of the reactor that can only be tested from inside the crate.

use super::core::STALE_TIMEOUTS_MAX;
use super::system::Socket;
use super::*;
use crate::protocol::Protocol;
use std::cell::Cell;

/// A protocol with a timeout that never passes, and its own factory.
#[derive(Default)]
struct Patient {
    built: Cell<usize>,
    failures: Cell<usize>,
    panics: bool,
}

impl Protocol for Patient {
    fn connection_made(&mut self, transport: &Transport) {
        transport.set_timeout(Some(Duration::from_secs(60)));
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

impl Factory for Patient {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        self.built.set(self.built.get() + 1);
        Some(Box::new(Self::default()))
    }

    fn connection_failed(&self, _: SocketAddr, _: io::Error) {
        self.failures.set(self.failures.get() + 1);
        assert!(!self.panics, "a factory that panics");
    }
}

fn peer_address() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn r9_a_connection_made_in_time_has_not_failed_although_the_reactor_has_not_seen_it() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    for _ in 0..2 {
        drop(reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _));
    }
    reactor.settle();
    reactor.dialled()[0].connect_silently();
    reactor.advance(SECOND);
    assert_eq!((reactor.connections(), factory.failures.get()), (1, 1));
}

#[test]
fn r9_the_time_to_connect_counts_from_the_call_and_not_from_the_turn() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    // During a turn that has taken a second so far.
    reactor.pass(SECOND);
    drop(reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _));
    reactor.settle();
    assert_eq!((reactor.connections(), factory.failures.get()), (1, 0));
    reactor.advance(SECOND);
    assert_eq!((reactor.connections(), factory.failures.get()), (0, 1));
}

#[test]
fn r9_a_connection_made_before_it_is_watched_is_noticed() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    drop(reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _));
    reactor.dialled()[0].accept();
    reactor.settle();
    // Before the connect timeout, which would check the socket.
    assert_eq!((factory.built.get(), factory.failures.get()), (1, 0));
}

#[test]
fn r9_connections_that_cannot_be_watched_fail_even_if_the_factory_panics() {
    for panics in [false, true] {
        let factory = Rc::new(Patient {
            panics,
            ..Patient::default()
        });
        let reactor = MemoryReactor::new();
        reactor.refuse_watches();
        for _ in 0..3 {
            drop(reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _));
        }
        assert_eq!(factory.failures.get(), 0, "not before the next turn");
        reactor.settle();
        assert_eq!((reactor.connections(), factory.failures.get()), (0, 3));
        assert!(reactor.dialled().iter().all(MemoryPeer::is_closed));
    }
}

#[test]
fn r9_a_connection_aborted_before_it_is_watched_is_closed() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    let begun = reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _);
    begun.unwrap().abort_connection();
    reactor.settle();
    assert_eq!((reactor.connections(), factory.failures.get()), (0, 0));
    assert!(reactor.dialled()[0].is_closed());
}

#[test]
fn dropping_a_reactor_before_it_runs_closes_the_connections_it_has_begun() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    drop(reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _));
    let peer = reactor.dialled().remove(0);
    drop(reactor);
    assert!(peer.is_closed());
    assert_eq!(Rc::strong_count(&factory), 1);
}

#[test]
fn r1_a_call_made_late_in_a_long_turn_is_not_early() {
    let (reactor, ran) = (MemoryReactor::new(), Rc::new(Cell::new(0)));
    let counts = || {
        let ran = Rc::clone(&ran);
        move || ran.set(ran.get() + 1)
    };
    let reset = reactor.call_later(SECOND, counts());
    // During a turn that has taken a second so far.
    reactor.pass(SECOND);
    drop(reactor.call_later(SECOND, counts()));
    reset.reset(SECOND).unwrap();
    reactor.settle();
    assert_eq!(ran.get(), 0);
    reactor.advance(SECOND);
    assert_eq!(ran.get(), 2);
}

#[test]
fn r1_a_call_without_delay_from_a_thread_call_waits_for_the_next_turn() {
    let (reactor, ran) = (MemoryReactor::new(), Rc::new(Cell::new(false)));
    let (context, runs) = (Reactor::clone(&reactor), Rc::clone(&ran));
    // Thread calls run before the calls that are due in the same turn.
    let call = reactor.inlet(move |_, ()| {
        let runs = Rc::clone(&runs);
        drop(context.call_later(Duration::ZERO, move || runs.set(true)));
    });
    call.send(()).unwrap();
    let core = reactor.core();
    core.turn(&mut Buffers::new(), Some(Duration::ZERO));
    assert!(!ran.get());
    core.turn(&mut Buffers::new(), Some(Duration::ZERO));
    assert!(ran.get());
}

#[test]
fn r9_a_connection_aborted_before_watching_it_fails_calls_nothing() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    reactor.refuse_watches();
    let begun = reactor.connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _);
    begun.unwrap().abort_connection();
    reactor.settle();
    assert_eq!((reactor.connections(), factory.failures.get()), (0, 0));
}

#[test]
fn the_next_port_reuses_the_place_of_a_stopped_one() {
    let reactor = Reactor::open().unwrap();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        let (one, other) = (listener(), listener());
        let kept = reactor
            .listen_tcp(one, Rc::new(Patient::default()))
            .unwrap();
        reactor
            .listen_tcp(other, Rc::new(Patient::default()))
            .unwrap()
            .stop_listening();
        kept.stop_listening();
    }
    assert_eq!(reactor.core().ports.places(), 2);
}

#[test]
fn closed_connections_leave_few_stale_timeouts() {
    let reactor = MemoryReactor::new();
    let factory: Rc<dyn Factory> = Rc::new(Patient::default());
    for _ in 0..2_000 {
        reactor.accept(&factory).finish();
        reactor.settle();
    }
    assert_eq!(reactor.connections(), 0);
    assert!(reactor.core().timeouts.borrow().len() <= STALE_TIMEOUTS_MAX + 1);
}

/// Both ends of the connection are one socket, as when the kernel picks the dialled port as the source port.
fn self_connected_socket() -> (system::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let own = socket.local_addr().unwrap();
    socket.connect(&own).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = mio::net::TcpStream::from_std(socket.into());
    let address = own.as_socket().unwrap();
    (system::Socket::Tcp(stream), address)
}

#[test]
fn s11_a_socket_connected_to_itself_is_closed_at_once_and_has_failed() {
    struct Fails(Cell<Option<io::Error>>, Reactor);
    impl Factory for Fails {
        fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
            panic!("a socket connected to itself is no connection");
        }

        fn connection_failed(&self, _: SocketAddr, error: io::Error) {
            self.0.set(Some(error));
            self.1.stop().unwrap();
        }
    }
    let reactor = Reactor::open().unwrap();
    let (socket, peer) = self_connected_socket();
    let factory = Rc::new(Fails(Cell::new(None), reactor.clone()));
    let address = Address {
        peer,
        side: Side::Initiated,
    };
    drop(Transport::dial(
        reactor.core(),
        socket,
        address,
        Rc::clone(&factory) as _,
    ));
    reactor.run().unwrap();
    let failure = crate::task::connection_failed(&factory.0.take().unwrap());
    assert_eq!(failure, poetry::FetchFailure::self_connected());
    assert_eq!(reactor.connections(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn s7_the_last_reply_waits_for_fin() {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // The kernel waits for 200 ms at most, which a busy machine may take for these lines now and then.
    let waited = (0..100).any(|_| {
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut socket = Socket::Tcp(mio::net::TcpStream::from_std(stream));
        assert_eq!(socket.send(b"a reply", true).unwrap(), 7);
        peer.set_nonblocking(true).unwrap();
        let waited = peer.read(&mut [0]).is_err();
        peer.set_nonblocking(false).unwrap();
        socket.finish().unwrap();
        let mut reply = String::new();
        peer.read_to_string(&mut reply).unwrap();
        waited && reply == "a reply"
    });
    assert!(waited);
}
