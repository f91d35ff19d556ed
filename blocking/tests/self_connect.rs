//! S11: a connection to an unused port of the ephemeral range may pick that port as its source, and is then connected to
//! itself. It is closed at once and reported as a failed connection. Linux goes through the ports in turn, so this connects
//! until that happens.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, TcpListener};

use blocking::{FetchError, FetchFailure, Poem, Via, get_poetry, transform};

/// Several times the ports of the range.
const ATTEMPTS_MAX: usize = 400_000;

/// An unused port of the range that the kernel picks source ports from, at least `skipped` ports into it: the tests run at
/// once and need one each.
fn unused_ephemeral_port(skipped: u16) -> SocketAddr {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    // The kernel prefers every second port for connecting, beginning with the first.
    let mut ports = (first + skipped..).step_by(2);
    let unused = |&port: &u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let port = ports.find(unused).unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Repeats `fetch` until it is connected to itself, and checks that the port is then free.
fn until_connected_to_itself(address: SocketAddr, fetch: impl Fn() -> Result<Poem, FetchError>) {
    let itself = FetchFailure::self_connected();
    let attempt = (0..ATTEMPTS_MAX).find(|_| {
        let failure = fetch().unwrap_err().failure;
        let failed = matches!(failure, FetchFailure::ConnectionFailed { .. });
        assert!(failed, "{failure}");
        failure == itself
    });
    assert!(attempt.is_some(), "never connected to itself");
    TcpListener::bind(address).expect("the port is free again");
}

#[test]
fn s11_a_poem_client_connected_to_itself_reports_a_failed_connection() {
    let address = unused_ephemeral_port(1_000);
    until_connected_to_itself(address, || get_poetry(address));
}

#[test]
fn s11_a_transform_client_connected_to_itself_reports_a_failed_connection() {
    let address = unused_ephemeral_port(2_000);
    let (transform_name, peer) = ("shout".to_owned(), address.into());
    let via = Via {
        transform: transform_name,
        peer,
    };
    let poem = Poem::from("a poem");
    until_connected_to_itself(address, || transform(&via, &poem));
}
