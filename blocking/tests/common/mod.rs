//! Helpers for tests with many connections.
#![allow(dead_code)] // No test uses all of them.

use std::net::{SocketAddr, TcpListener};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// A listener with room for every connection: with std's backlog of 128 some would wait for a second.
pub(crate) fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}

/// Raises this process's limit on descriptors. If the system does not allow so many, prints that the test is skipped and
/// returns false.
pub(crate) fn has_room_for(descriptors: u64) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < descriptors {
        println!("skipped: needs {descriptors} descriptors");
        return false;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    true
}
