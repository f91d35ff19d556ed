//! The kernel's table of TCP sockets, which shows what a connection to a server would change. Only Linux has it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

const FIN_WAIT_1: &str = "04";
const LISTEN: &str = "0A";
/// About the bytes of a line. The kernel looks for as many sockets as fill the buffer of a read.
const LINE_BYTES: usize = 150;

/// Returns whether the connection is in the state FIN-WAIT-1: FIN is not acknowledged. It never is where there is no table, and
/// for IPv6.
pub(crate) fn fin_is_under_way(local: SocketAddr, peer: SocketAddr) -> bool {
    let (SocketAddr::V4(local), SocketAddr::V4(peer)) = (local, peer) else {
        return false;
    };
    let ends = format!(" {} {} {FIN_WAIT_1} ", entry(local), entry(peer));
    fs::read_to_string(path("tcp")).is_ok_and(|table| table.contains(&ends))
}

/// Returns whether a socket listens on `port` of 127.0.0.1 or of every address, or nothing where there is no table.
pub(crate) fn listens(port: u16) -> Option<bool> {
    let ips = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED];
    let v4 = ips.map(|ip| entry(SocketAddrV4::new(ip, port)));
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
    use std::net::{Ipv6Addr, TcpListener};

    use super::*;

    fn port_of(listener: &TcpListener) -> u16 {
        listener.local_addr().unwrap().port()
    }

    #[test]
    fn a_port_listens_on_this_machine_s_or_on_every_address() {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(listens(port_of(&bound)), Some(true));
        let elsewhere = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
        assert_eq!(listens(port_of(&elsewhere)), Some(false));
        if let Ok(every) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
            assert_eq!(listens(port_of(&every)), Some(true));
        }
    }
}
