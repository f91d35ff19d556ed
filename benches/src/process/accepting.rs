//! Servers that are told their port: a free one, and waiting until they accept connections there.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Launch, ProcessError};

/// Between two attempts to connect. The server cannot tell when it listens, so this asks it.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The kernel gives clients ports above these, so no client takes the port of a server that is about to bind it.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Returns a port of 127.0.0.1 that no one listens on now. No two calls of a process return the same one soon.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes that run at the same time begin far apart, and far from where the conformance suite begins in the same process.
    let first = std::process::id().wrapping_mul(7_919) % count + count / 2;
    let ports = (0..count).map(|_| {
        let place = (first + NEXT.fetch_add(1, Ordering::Relaxed) % count) % count;
        PORTS.start + u16::try_from(place).unwrap_or_default()
    });
    let mut free = ports.filter(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.next()
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))
}

/// Waits until `child` accepts connections on `port`. This costs it one connection.
pub(super) fn wait(
    launch: &Launch,
    port: u16,
    child: &mut Child,
) -> Result<SocketAddr, ProcessError> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let deadline = Instant::now() + launch.timeout;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Err(ProcessError::Ended {
                program: launch.name(),
                status: status.to_string(),
            });
        }
        match TcpStream::connect(address) {
            Ok(_) => return Ok(address),
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
    Err(launch.late("accept connections"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_not_those_of_clients_and_not_given_twice() {
        let ports: Vec<u16> = (0..100).map(|_| free_port().unwrap()).collect();
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ports.len());
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
