//! What tests of many connections share.
#![allow(dead_code)] // No test needs all of it.

use std::net::{SocketAddr, TcpListener};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// A listener with room for all who connect: std's backlog of 128 would make some wait for a second.
pub(crate) fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}

/// Makes room for so many descriptors in this process. Where the system does not allow that, says that the test is
/// skipped.
pub(crate) fn has_room_for(descriptors: u64) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < descriptors {
        println!("skipped: needs {descriptors} descriptors");
        return false;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    true
}
