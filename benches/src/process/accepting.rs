//! Servers that are told their port: a free one, and waiting until they accept connections there.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use super::{Launch, ProcessError};

/// Between two attempts to connect. The server cannot tell when it listens, so this asks it.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns a port of 127.0.0.1 that no one listens on now.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
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
