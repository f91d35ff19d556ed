//! Resolves names: all at once, within bounds on threads and time (S10). Models receive addresses only.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use poetry::{Cancel, FetchFailure, Peer};

use crate::args::Address;
use crate::failure::Failure;

/// Names that are resolved at once. The system's resolver cannot be interrupted, so lookups that take too long are
/// abandoned, in at most this many threads.
const THREADS_MAX: usize = 32;

type Resolved = Result<Vec<IpAddr>, String>;

/// Returns the peers at `addresses`, in order. A name that is not resolved within `wait`, or before `cancel` fires,
/// becomes an unresolved peer.
pub(crate) fn peers(addresses: &[&Address], wait: Duration, cancel: &Cancel) -> Vec<Peer> {
    let names = addresses
        .iter()
        .filter(|address| address.ip().is_none())
        .map(|address| address.host.as_str());
    let resolved = names_to_addresses(names, wait, cancel);
    let peer = |address: &&Address| peer(address, &resolved, wait);
    addresses.iter().map(peer).collect()
}

/// Returns the first socket address of `address`.
pub(crate) fn first(address: &Address, wait: Duration) -> Result<SocketAddr, FetchFailure> {
    let names = [address.host.as_str()].into_iter();
    let resolved = names_to_addresses(names, wait, &Cancel::new());
    peer(address, &resolved, wait)
        .addresses()
        .map(|addresses| addresses[0])
}

fn peer(address: &Address, resolved: &BTreeMap<String, Resolved>, wait: Duration) -> Peer {
    let with_port = |ip| SocketAddr::new(ip, address.port);
    let name = address.to_string();
    match (address.ip(), resolved.get(&address.host)) {
        (Some(ip), _) => Peer::new(name, vec![with_port(ip)]),
        (None, Some(Ok(ips))) => Peer::new(name, ips.iter().copied().map(with_port).collect()),
        (None, Some(Err(cause))) => Peer::unresolved(name, cause),
        (None, None) => Peer::unresolved(name, not_in_time(wait)),
    }
}

fn not_in_time(wait: Duration) -> String {
    format!("the name was not resolved within {} s", wait.as_secs_f64())
}

/// Returns the address to listen on. Of a name's addresses an IPv4 one is preferred, because `fetch` defaults to IPv4.
pub(crate) fn interface(name: &str, port: u16, wait: Duration) -> Result<SocketAddr, Failure> {
    let host = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    let mut resolved = names_to_addresses([host].into_iter(), wait, &Cancel::new());
    let cause = match resolved.remove(host) {
        Some(Ok(ips)) => match ips.iter().find(|ip| ip.is_ipv4()).or(ips.first()) {
            Some(ip) => return Ok(SocketAddr::new(*ip, port)),
            None => "it has no address".to_owned(),
        },
        Some(Err(cause)) => cause,
        None => not_in_time(wait),
    };
    Err(Failure::new(format_args!(
        "cannot listen on --iface {name}: {cause}; give an address of this machine, such as 127.0.0.1"
    )))
}

enum Message {
    Resolved(String, Resolved),
    Cancelled,
}

/// Returns the answers for `names` that are known when all have come, `wait` is over, or `cancel` fires.
fn names_to_addresses<'a>(
    names: impl Iterator<Item = &'a str>,
    wait: Duration,
    cancel: &Cancel,
) -> BTreeMap<String, Resolved> {
    let mut resolved = BTreeMap::new();
    let names: std::collections::BTreeSet<&str> = names.collect();
    if names.is_empty() {
        return resolved;
    }
    let deadline = Instant::now() + wait;
    let (send, messages) = mpsc::channel();
    let wake = send.clone();
    let _subscription = cancel.subscribe(move |_| drop(wake.send(Message::Cancelled)));
    start_resolvers(names.iter().map(|&name| name.to_owned()).collect(), &send);
    while resolved.len() < names.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        match messages.recv_timeout(left) {
            Ok(Message::Resolved(name, answer)) => drop(resolved.insert(name, answer)),
            Ok(Message::Cancelled)
            | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    resolved
}

/// Starts a thread for each name, up to the bound. Each thread resolves names until none is left.
fn start_resolvers(names: VecDeque<String>, send: &Sender<Message>) {
    let threads = names.len().min(THREADS_MAX);
    let names = Arc::new(Mutex::new(names));
    for _ in 0..threads {
        let (queue, sender) = (Arc::clone(&names), send.clone());
        let work = move || {
            while let Some(name) = next(&queue) {
                let answer = resolve(&name);
                if sender.send(Message::Resolved(name, answer)).is_err() {
                    return; // The caller has stopped waiting.
                }
            }
        };
        if thread::Builder::new()
            .name("resolve".to_owned())
            .spawn(work)
            .is_err()
        {
            break; // The other threads resolve all names, or time runs out.
        }
    }
}

fn next(queue: &Mutex<VecDeque<String>>) -> Option<String> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

fn resolve(name: &str) -> Resolved {
    (name, 0)
        .to_socket_addrs()
        .map(|addresses| addresses.map(|address| address.ip()).collect())
        .map_err(|error: io::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn s10_peers_are_in_the_order_of_their_addresses() {
        let addresses = [address("7"), address("localhost:8"), address("[::1]:9")];
        let peers = peers(&addresses.each_ref(), WAIT, &Cancel::new());
        let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
        assert_eq!(names, ["127.0.0.1:7", "localhost:8", "[::1]:9"]);
        assert_eq!(
            peers[0].addresses().unwrap(),
            ["127.0.0.1:7".parse().unwrap()]
        );
        let local = peers[1].addresses().unwrap();
        assert!(
            local
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 8)
        );
        assert_eq!(peers[2].addresses().unwrap(), ["[::1]:9".parse().unwrap()]);
    }

    #[test]
    fn s10_an_unresolved_name_is_a_failed_connection() {
        let long = address(&format!("{}:1", "x".repeat(300)));
        let peers = peers(&[&long], WAIT, &Cancel::new());
        assert_eq!(
            peers[0].addresses().unwrap_err().status(),
            "connection_failed"
        );
    }

    #[test]
    fn s14_a_cancel_ends_the_wait_for_names() {
        let cancel = Cancel::new();
        cancel.all();
        let peers = peers(&[&address("localhost:1")], WAIT, &cancel);
        assert_eq!(peers.len(), 1);
    }

    #[test]
    fn an_interface_may_be_a_name() {
        assert_eq!(
            interface("localhost", 5, WAIT).map(|address| address.port()),
            Ok(5)
        );
        assert!(interface(&"x".repeat(300), 5, WAIT).is_err());
    }
}
