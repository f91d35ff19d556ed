//! T1: a hundred thousand connection attempts against a bound of a thousand. The process never aborts, and never has more
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
/// All clients together open more at once than the bound.
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
        offload: false,
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
    expect_reply(&TcpStream::connect(address).unwrap());
    let counters = server.shutdown(DEADLINE).counters;
    assert_eq!(counters.check(), Ok(()));
    assert!((CONNECTIONS_MAX..=ATTEMPTS + 1).contains(&(counters.accepted as usize)));
}

/// Opens many connections at once and resets them all, repeatedly.
fn attempt(address: SocketAddr) {
    let mut left = ATTEMPTS / CLIENTS;
    while left > 0 {
        let count = AT_ONCE.min(left);
        let peers: Vec<_> = (0..count)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        left -= count;
        // Besides the server's threads there are this test, its harness, and the clients. The kernel lists a thread for a
        // moment after it has ended.
        let begun = Instant::now();
        while threads() > CONNECTIONS_MAX + 2 + CLIENTS {
            assert!(begun.elapsed() < DEADLINE, "{} threads", threads());
            thread::yield_now();
        }
        for peer in &peers {
            // A reset leaves no TIME_WAIT, which would use up the ports.
            SockRef::from(peer)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn expect_reply(mut peer: &TcpStream) {
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer.write_all(b"8:shout.ab,").unwrap();
    let mut reply = [0; 5];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"2:AB,");
}
