//! S17: a port without a descriptor retries at intervals, and not at every arrival. This test has a file of its own because
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

const CLIENTS: usize = 50;
const DESCRIPTORS: u64 = 256;

/// Counts how often accepting failed.
struct CountsFailures(Rc<Cell<u32>>);

impl Acceptor for CountsFailures {
    fn accepted(&self, _: &Reactor, _: Accepted) {}

    fn accept_failed(&self, _: io::Error) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn s17_arrivals_without_a_descriptor_cause_no_attempts_between_the_retries() {
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap())
        .collect();
    let reactor = Reactor::open().unwrap();
    let failures = Rc::new(Cell::new(0));
    reactor
        .listen_with(listener, Rc::new(CountsFailures(Rc::clone(&failures))))
        .unwrap();
    let used_up: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!used_up.is_empty());
    let begun = Instant::now();
    connect_one_by_one(&reactor, clients.into(), to);
    reactor.run().unwrap();
    // One attempt more than whole intervals fit into the time.
    let most = begun.elapsed().as_millis() / ACCEPT_RETRY.as_millis() + 1;
    let failures = failures.get();
    assert!(
        failures > 0 && u128::from(failures) <= most,
        "{failures} attempts, more than {most}"
    );
}

/// Connects one client in each turn, and stops the reactor after the last.
fn connect_one_by_one(
    reactor: &Reactor,
    mut clients: std::collections::VecDeque<Socket>,
    to: SocketAddr,
) {
    let context = reactor.clone();
    reactor.call_later(Duration::from_millis(1), move || {
        match clients.pop_front() {
            Some(next) => {
                next.connect(&to.into()).unwrap();
                std::mem::forget(next); // Stays open until the process ends.
                connect_one_by_one(&context, clients, to);
            }
            None => context.stop().unwrap(),
        }
    });
}
