//! S17: a port that finds no descriptor tries again in a while, and not for everybody who comes. Alone in its file, since
//! it uses up the descriptors of its process.

#![cfg(unix)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use callbacks::{Accepted, Acceptor, Reactor};
use nix::sys::resource::{Resource, setrlimit};
use poetry::limits::ACCEPT_RETRY;
use socket2::{Domain, Socket, Type};

const COMING: usize = 50;
const DESCRIPTORS: u64 = 256;

/// Counts how often there was none.
struct Counts(Rc<Cell<u32>>);

impl Acceptor for Counts {
    fn accepted(&self, _: &Reactor, _: Accepted) {}

    fn accept_failed(&self, _: io::Error) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn s17_whoever_comes_while_there_is_no_descriptor_waits_with_the_others() {
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let coming: Vec<_> = (0..COMING)
        .map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap())
        .collect();
    let reactor = Reactor::open().unwrap();
    let failures = Rc::new(Cell::new(0));
    reactor
        .listen_with(listener, Rc::new(Counts(Rc::clone(&failures))))
        .unwrap();
    let used_up: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!used_up.is_empty());
    let begun = Instant::now();
    come(&reactor, coming.into(), to);
    reactor.run().unwrap();
    // It may have been asked once more than a whole number of times fits.
    let most = begun.elapsed().as_millis() / ACCEPT_RETRY.as_millis() + 1;
    let failures = failures.get();
    assert!(
        failures > 0 && u128::from(failures) <= most,
        "{failures} tries, not {most}"
    );
}

/// One connects in each turn; with the last it is over.
fn come(reactor: &Reactor, mut coming: std::collections::VecDeque<Socket>, to: SocketAddr) {
    let context = reactor.clone();
    reactor.call_later(Duration::from_millis(1), move || match coming.pop_front() {
        Some(next) => {
            next.connect(&to.into()).unwrap();
            std::mem::forget(next); // It stays, until the process ends.
            come(&context, coming, to);
        }
        None => context.stop().unwrap(),
    });
}
