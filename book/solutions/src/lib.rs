//! What the solutions share: a poem server that a test plays step by step, a wait for what a counter will say, and a runtime
//! for what is async.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

/// How long a wait may take; every solution needs far less.
const DEADLINE: Duration = Duration::from_secs(30);

/// A poem server that sends nothing of its own accord. Connections wait in its backlog until a test accepts them.
pub struct PlayedServer {
    listener: TcpListener,
}

impl PlayedServer {
    /// Listens on a free port.
    ///
    /// # Errors
    /// Fails if there is none.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok(Self { listener })
    }

    /// Returns where clients connect.
    ///
    /// # Errors
    /// Fails if the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits for the next client. Dropping what this returns ends its poem.
    ///
    /// # Errors
    /// Fails if the system cannot accept.
    pub fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.listener.accept()?.0)
    }

    /// Waits for the next client, sends it the whole poem, and closes.
    ///
    /// # Errors
    /// Fails if the client has gone.
    pub fn serve(&self, poem: &str) -> io::Result<()> {
        self.accept()?.write_all(poem.as_bytes())
    }

    /// Returns whether a client waits that was not accepted.
    ///
    /// # Errors
    /// Fails if the system cannot say.
    pub fn has_another(&self) -> io::Result<bool> {
        self.listener.set_nonblocking(true)?;
        let another = self.listener.accept();
        self.listener.set_nonblocking(false)?;
        match another {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Waits for the end of a connection whose peer sends no more. Returns whether it has ended: by FIN, or by a reset if the peer
/// had not read everything.
pub fn has_ended(connection: &mut impl Read) -> bool {
    matches!(connection.read(&mut [0]), Ok(0) | Err(_))
}

/// Waits until `is_so`, which other threads make true.
///
/// # Panics
/// If it does not become true in time.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// Creates a runtime of one thread.
///
/// # Errors
/// Fails if the system refuses what it needs.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
