//! T1: a hundred thousand connection attempts against a bound of a thousand: none is an abort, and there are never more
//! threads than the bound and one that waits. Alone in its file, since it needs many descriptors.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use blocking::Blocking;
use poetry::event::Unobserved;
use poetry::{Clock, Limits, Model, Options, Service, TransformService};
use socket2::SockRef;

use common::{has_room_for, listen};

const ATTEMPTS: usize = 100_000;
const CONNECTIONS_MAX: usize = 1_000;
const CLIENTS: usize = 8;
/// More at once than the bound.
const AT_ONCE: usize = 1_200 / CLIENTS;
const DESCRIPTORS: u64 = 4_096;
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn t1_a_hundred_thousand_attempts_against_a_thousand_never_abort() {
    if !has_room_for(DESCRIPTORS) {
        return;
    }
    let options = Options {
        limits: Limits {
            connections_max: CONNECTIONS_MAX,
            ..Limits::default()
        },
        ..Options::new(Clock::stopped())
    };
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: None,
    });
    let server = Blocking::NEW
        .serve(listen(), service, &options, Arc::new(Unobserved))
        .unwrap();
    let address = server.address();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| attempt(address));
        }
    });
    ask(&TcpStream::connect(address).unwrap());
    let counters = server.shutdown(DEADLINE).counters;
    assert_eq!(counters.check(), Ok(()));
    assert!((CONNECTIONS_MAX..=ATTEMPTS + 1).contains(&(counters.accepted as usize)));
}

/// Opens many connections at once, and resets all; again and again.
fn attempt(address: SocketAddr) {
    let mut left = ATTEMPTS / CLIENTS;
    while left > 0 {
        let count = AT_ONCE.min(left);
        let peers: Vec<_> = (0..count)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        left -= count;
        // Besides the server's: this test, its harness, and the clients. A thread that ends is listed for a moment more.
        let begun = Instant::now();
        while threads() > CONNECTIONS_MAX + 2 + CLIENTS {
            assert!(begun.elapsed() < DEADLINE, "{} threads", threads());
            thread::yield_now();
        }
        for peer in &peers {
            // A reset leaves no TIME_WAIT, of which there could not be so many.
            SockRef::from(peer)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn ask(mut peer: &TcpStream) {
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer.write_all(b"8:shout.ab,").unwrap();
    let mut reply = [0; 5];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"2:AB,");
}
