//! The kernel's table of TCP sockets, which shows what a connection to a server would change. Only Linux has it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

const LISTEN: &str = "0A";
/// An empty queue, as a socket's line shows it.
const NOTHING: &str = "00000000";
/// About the bytes of a line. The kernel looks for as many sockets as fill the buffer of a read.
const LINE_BYTES: usize = 150;

/// Returns whether the kernel of `peer` has not acknowledged all that `local` has sent to it, FIN included. Returns nothing where
/// there is no table, and for IPv6.
pub(crate) fn is_under_way(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    any_queue(local, peer, |sent, _| sent != NOTHING)
}

/// Returns whether bytes from `peer` have arrived at `local` and are not read. Returns nothing where there is no table, and for IPv6.
pub(crate) fn has_unread(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    any_queue(local, peer, |_, received| received != NOTHING)
}

/// Returns whether the connection from `local` to `peer` is there, and its queues, `SENT:RECEIVED`, are so.
fn any_queue(
    local: SocketAddr,
    peer: SocketAddr,
    are_so: impl Fn(&str, &str) -> bool,
) -> Option<bool> {
    let (SocketAddr::V4(local), SocketAddr::V4(peer)) = (local, peer) else {
        return None;
    };
    let ends = [entry(local), entry(peer)];
    let table = fs::read_to_string(path("tcp")).ok()?;
    Some(table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_it = ends.iter().all(|end| words.next() == Some(end));
        let queues = words.nth(1).and_then(|queues| queues.split_once(':'));
        is_it && queues.is_some_and(|(sent, received)| are_so(sent, received))
    }))
}

/// Returns whether a socket listens on `address` or on its port of every address. Returns nothing where there is no table, and for
/// IPv6.
pub(crate) fn listens(address: SocketAddr) -> Option<bool> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let port = address.port();
    let v4 = [*address.ip(), Ipv4Addr::UNSPECIFIED].map(|ip| entry(SocketAddrV4::new(ip, port)));
    // An IPv6 socket for every address is also one for IPv4, unless it says otherwise.
    let v6 = format!("{:032X}:{port:04X}", 0);
    let of_v4 = has_listener(File::open(path("tcp")).ok()?, &v4);
    // Without IPv6 there is no such table.
    Some(of_v4 || File::open(path("tcp6")).is_ok_and(|table| has_listener(table, &[v6])))
}

/// Returns whether one of `entries` listens. The kernel writes the listening sockets first, so the others, of which there may be
/// tens of thousands, are not read.
fn has_listener(table: File, entries: &[String]) -> bool {
    let lines = BufReader::with_capacity(LINE_BYTES, table).lines().skip(1);
    let mut locals = lines.map_while(|line| {
        let line = line.ok()?;
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        (state == LISTEN).then(|| local.to_owned())
    });
    locals.any(|local| entries.contains(&local))
}

fn entry(address: SocketAddrV4) -> String {
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

/// The table of this thread's network namespace.
fn path(name: &str) -> String {
    format!("/proc/thread-self/net/{name}")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv6Addr, TcpListener, TcpStream};
    use std::thread;

    use super::*;

    fn here(listener: &TcpListener) -> SocketAddr {
        let port = listener.local_addr().unwrap().port();
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn a_port_listens_on_this_machine_s_or_on_every_address() {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(listens(here(&bound)), Some(true));
        let elsewhere = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
        assert_eq!(listens(here(&elsewhere)), Some(false));
        if let Ok(every) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
            assert_eq!(listens(here(&every)), Some(true));
        }
    }

    #[test]
    fn bytes_are_under_way_then_unread_then_read() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(here(&listener)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        client.write_all(b"ahoy").unwrap();
        while is_under_way(ends.0, ends.1) == Some(true) {
            thread::yield_now();
        }
        assert_eq!(has_unread(ends.1, ends.0), Some(true));
        server.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(has_unread(ends.1, ends.0), Some(false));
        // The server reads nothing more, so at some time not even the kernel takes what the client sends.
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 64 << 10]).is_ok() {}
        assert_eq!(is_under_way(ends.0, ends.1), Some(true));
    }
}
