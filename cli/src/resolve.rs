//! Resolves names: all at once, within bounds on threads and time (S10). Models receive addresses only.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use poetry::{FetchFailure, Peer};

use crate::args::Address;
use crate::failure::Failure;

/// Names that are resolved at once. The system's resolver cannot be interrupted, so lookups that take too long are
/// abandoned, in at most this many threads.
const THREADS_MAX: usize = 32;

/// The addresses of a name, or why there are none.
pub(crate) type Resolved = Result<Vec<IpAddr>, String>;

/// How a name is resolved. It may block.
pub(crate) type Lookup = Arc<dyn Fn(&str) -> Resolved + Send + Sync>;

/// Returns the system's way to resolve names.
pub(crate) fn system() -> Lookup {
    Arc::new(|name| {
        (name, 0)
            .to_socket_addrs()
            .map(|addresses| addresses.map(|address| address.ip()).collect())
            .map_err(|error: io::Error| error.to_string())
    })
}

/// Starts to resolve `names`, and calls `answered` with each answer as it comes, in another thread. Resolves no further name
/// once `answered` has returned false.
pub(crate) fn start(
    names: VecDeque<String>,
    lookup: &Lookup,
    answered: impl Fn(String, Resolved) -> bool + Clone + Send + 'static,
) {
    let threads = names.len().min(THREADS_MAX);
    let names = Arc::new(Mutex::new(names));
    for _ in 0..threads {
        let (queue, lookup, answered) = (Arc::clone(&names), Arc::clone(lookup), answered.clone());
        let work = move || {
            while let Some(name) = next(&queue) {
                let answer = lookup(&name);
                if !answered(name, answer) {
                    return;
                }
            }
        };
        let named = thread::Builder::new().name("resolve".to_owned());
        if named.spawn(work).is_err() {
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

/// Returns the peer at `address`, whose host has the addresses `resolved`, unless it is an IP address itself.
pub(crate) fn peer(address: &Address, resolved: Option<&Resolved>, wait: Duration) -> Peer {
    let with_port = |ip| SocketAddr::new(ip, address.port);
    let name = address.to_string();
    match (address.ip(), resolved) {
        (Some(ip), _) => Peer::new(name, vec![with_port(ip)]),
        (None, Some(Ok(ips))) => Peer::new(name, ips.iter().copied().map(with_port).collect()),
        (None, Some(Err(cause))) => Peer::unresolved(name, cause),
        (None, None) => Peer::unresolved(name, not_in_time(wait)),
    }
}

fn not_in_time(wait: Duration) -> String {
    format!("the name was not resolved within {} s", wait.as_secs_f64())
}

/// Returns the peer at `address`, after waiting for its name, but no longer than `wait`.
pub(crate) fn wait_for_peer(address: &Address, wait: Duration) -> Peer {
    match address.ip() {
        Some(_) => peer(address, None, wait),
        None => peer(address, wait_for(&address.host, wait).as_ref(), wait),
    }
}

/// Returns the first socket address of `address`.
pub(crate) fn first(address: &Address, wait: Duration) -> Result<SocketAddr, FetchFailure> {
    let peer = wait_for_peer(address, wait);
    peer.addresses().map(|addresses| addresses[0])
}

/// Returns the address to listen on. Of a name's addresses an IPv4 one is preferred, because `fetch` defaults to IPv4.
pub(crate) fn interface(name: &str, port: u16, wait: Duration) -> Result<SocketAddr, Failure> {
    let host = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    let cause = match wait_for(host, wait) {
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

/// Returns the answer for `name`, or `None` if there is none within `wait`.
fn wait_for(name: &str, wait: Duration) -> Option<Resolved> {
    let (send, answers) = mpsc::channel();
    let answered = move |_, answer| send.send(answer).is_ok();
    start(VecDeque::from([name.to_owned()]), &system(), answered);
    answers.recv_timeout(wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn s10_a_peer_keeps_the_name_and_has_its_addresses_with_the_port() {
        let local = wait_for_peer(&address("localhost:8"), WAIT);
        assert_eq!(local.name(), "localhost:8");
        let addresses = local.addresses().unwrap();
        let fits = |address: &SocketAddr| address.ip().is_loopback() && address.port() == 8;
        assert!(addresses.iter().all(fits), "{addresses:?}");
        let by_ip = wait_for_peer(&address("[::1]:9"), WAIT);
        assert_eq!(by_ip.addresses().unwrap(), ["[::1]:9".parse().unwrap()]);
    }

    #[test]
    fn s10_an_unresolved_name_is_a_failed_connection() {
        let long = address(&format!("{}:1", "x".repeat(300)));
        let failure = wait_for_peer(&long, WAIT).addresses().unwrap_err();
        assert_eq!(failure.status(), "connection_failed");
    }

    #[test]
    fn s10_each_name_is_resolved_although_others_take_long() {
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Mutex::new(blocked);
        let lookup: Lookup = Arc::new(move |name| {
            if name == "slow" {
                let _ = blocked.lock().unwrap().recv();
            }
            Err(name.to_owned())
        });
        let (send, answers) = mpsc::channel();
        let names = ["slow", "fast", "faster"].map(str::to_owned);
        start(names.into(), &lookup, move |name, _| {
            send.send(name).is_ok()
        });
        let mut first = [
            answers.recv_timeout(WAIT).unwrap(),
            answers.recv_timeout(WAIT).unwrap(),
        ];
        first.sort();
        assert_eq!(first, ["fast", "faster"]);
        drop(release);
        assert_eq!(answers.recv_timeout(WAIT).unwrap(), "slow");
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
