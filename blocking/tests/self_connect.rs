//! S11: a connection to an unused port of the ephemeral range may pick that port as its source, and is then connected to
//! itself. It is closed at once and reported as a failed connection. Linux goes through the ports in turn, so this connects
//! until that happens.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, TcpListener};

use blocking::{FetchError, FetchFailure, Poem, Via, get_poetry, transform};

/// Several times the ports of the range.
const ATTEMPTS_MAX: usize = 100_000;
/// Ports that are tried, since another program may take one at any time: as its own port, or as the source of a connection.
const PORTS_MAX: usize = 10;

/// Unused ports of the range that the kernel picks source ports from, at least `skipped` ports into it: the tests run at
/// once and need some each.
fn unused_ephemeral_ports(skipped: u16) -> impl Iterator<Item = SocketAddr> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    // The kernel prefers every second port for connecting, beginning with the first.
    let addresses = (first + skipped..)
        .step_by(2)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    addresses.filter(|address| TcpListener::bind(address).is_ok())
}

/// Repeats `fetch` until it is connected to itself, and checks that the port is then free; with another port if some
/// other program has taken this one.
fn until_connected_to_itself(skipped: u16, fetch: impl Fn(SocketAddr) -> Result<Poem, FetchError>) {
    let connects_to_itself = |address: &SocketAddr| {
        let mut failures =
            (0..ATTEMPTS_MAX).map(|_| fetch(*address).err().map(|error| error.failure));
        // Any other outcome than a failed connection is another program's.
        let refused = |failure: &Option<FetchFailure>| {
            let refused = matches!(failure, Some(FetchFailure::ConnectionFailed { .. }));
            refused && *failure != Some(FetchFailure::self_connected())
        };
        let outcome = failures.find(|failure| !refused(failure));
        outcome == Some(Some(FetchFailure::self_connected())) && TcpListener::bind(address).is_ok()
    };
    let mut ports = unused_ephemeral_ports(skipped).take(PORTS_MAX);
    let done = ports.any(|address| connects_to_itself(&address));
    assert!(
        done,
        "never connected to itself, or the port was not free again"
    );
}

#[test]
fn s11_a_poem_client_connected_to_itself_reports_a_failed_connection() {
    until_connected_to_itself(1_000, get_poetry);
}

#[test]
fn s11_a_transform_client_connected_to_itself_reports_a_failed_connection() {
    let poem = Poem::from("a poem");
    until_connected_to_itself(2_000, |address| {
        let via = Via {
            transform: "shout".to_owned(),
            peer: address.into(),
        };
        transform(&via, &poem)
    });
}
