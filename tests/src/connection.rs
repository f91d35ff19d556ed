//! A raw socket with a timeout on every operation. What a case expects of it is in `expects`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::WAIT_MAX;
use crate::failure::{Check, During, Failure, ensure, os_result, shown};
use crate::kernel_sockets;

mod expects;

/// How the peer ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer finished sending: FIN.
    Fin,
    /// The peer reset the connection: RST.
    Reset,
}

/// The suite's end of a connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    /// Connects to a subject.
    ///
    /// # Errors
    /// The connection could not be made.
    pub fn open(address: SocketAddr) -> Check<Self> {
        let stream = os_result(TcpStream::connect_timeout(&address, WAIT_MAX), "connecting")?;
        Self::new(stream).during("setting up a connection")
    }

    /// Connects to a subject that may reset the connection at once; returns nothing if it has done so before this returns.
    ///
    /// # Errors
    /// The connection could not be made.
    pub fn open_unless_reset(address: SocketAddr) -> Check<Option<Self>> {
        match TcpStream::connect_timeout(&address, WAIT_MAX) {
            Err(error) if is_reset(&error) => Ok(None),
            stream => {
                let stream = os_result(stream, "connecting")?;
                Self::new(stream)
                    .map(Some)
                    .during("setting up a connection")
            }
        }
    }

    /// Connects with a receive buffer of about `bytes`, so that further bytes wait at the peer.
    ///
    /// # Errors
    /// The connection could not be made.
    pub fn open_narrow(address: SocketAddr, bytes: usize) -> Check<Self> {
        let connect = || -> io::Result<Self> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_recv_buffer_size(bytes)?;
            socket.connect_timeout(&address.into(), WAIT_MAX)?;
            Self::new(socket.into())
        };
        os_result(connect(), "connecting")
    }

    /// Wraps an accepted connection.
    ///
    /// # Errors
    /// A socket option could not be set.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        Ok(Self { stream })
    }

    /// Returns the local address.
    ///
    /// # Errors
    /// The socket is no longer connected.
    pub fn local(&self) -> Check<SocketAddr> {
        self.stream.local_addr().during("reading an address")
    }

    /// Returns the peer's address.
    ///
    /// # Errors
    /// The socket is no longer connected.
    pub fn peer(&self) -> Check<SocketAddr> {
        self.stream.peer_addr().during("reading an address")
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The peer closed the connection, or did not read for [`WAIT_MAX`].
    pub fn send(&mut self, bytes: &[u8]) -> Check {
        let sent = self.try_send(bytes);
        sent.during(&format!("sending '{}'", shown(bytes)))
    }

    /// Sends all of `bytes` to a peer that may have closed the connection.
    ///
    /// # Errors
    /// The system's error.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Finishes sending; the connection can still receive.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn half_close(&self) -> Check {
        self.stream.shutdown(Shutdown::Write).during("sending FIN")
    }

    /// Resets the connection: RST.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn reset(self) -> Check {
        self.prepare_reset()
    }

    /// Finishes sending and resets the connection: FIN, and RST once the peer's kernel has taken FIN. Otherwise RST could
    /// overtake it on its way from core to core.
    ///
    /// # Errors
    /// The connection has ended, or FIN is not acknowledged within [`WAIT_MAX`].
    pub fn finish_and_reset(self) -> Check {
        let (local, peer) = (self.local()?, self.peer()?);
        self.half_close()?;
        let deadline = Instant::now() + WAIT_MAX;
        while kernel_sockets::is_under_way(local, peer) == Some(true) {
            if Instant::now() > deadline {
                return Err(Failure::broken(
                    "the peer's kernel does not acknowledge FIN",
                ));
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.reset()
    }

    /// Wakes a thread that waits on another handle of this connection. Dropping the last handle resets the connection: RST.
    ///
    /// # Errors
    /// The system returned an error.
    pub(crate) fn wake_with_reset(&self) -> Check {
        self.prepare_reset()?;
        self.stream
            .shutdown(Shutdown::Both)
            .during("waking a sender")
    }

    fn prepare_reset(&self) -> Check {
        let no_linger = Some(Duration::ZERO);
        SockRef::from(&self.stream)
            .set_linger(no_linger)
            .during("preparing a reset")
    }

    /// Receives exactly `count` bytes.
    ///
    /// # Errors
    /// The connection ended before, or nothing came for [`WAIT_MAX`].
    pub fn receive(&mut self, count: usize) -> Check<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => {
                    return Err(Failure::Broken(format!(
                        "expected {count} bytes, got FIN after {filled}: '{}'",
                        shown(&bytes[..filled])
                    )));
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let received = shown(&bytes[..filled]);
                    let failure = describe(&error);
                    return Err(Failure::Broken(format!(
                        "expected {count} bytes, got {filled}: '{received}', then {failure}"
                    )));
                }
            }
        }
        Ok(bytes)
    }

    /// Receives everything up to FIN or RST.
    ///
    /// # Errors
    /// Neither came: nothing at all for [`WAIT_MAX`].
    pub fn receive_to_end(&mut self) -> Check<(Vec<u8>, End)> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok((bytes, End::Fin)),
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_reset(&error) => return Ok((bytes, End::Reset)),
                Err(error) => {
                    return Err(Failure::Broken(format!(
                        "expected the connection to end, got {} bytes '{}', then {}",
                        bytes.len(),
                        shown(&bytes),
                        describe(&error)
                    )));
                }
            }
        }
    }

    /// Receives everything up to FIN.
    ///
    /// # Errors
    /// The connection ended by RST, or not at all.
    pub fn receive_to_fin(&mut self) -> Check<Vec<u8>> {
        let (bytes, end) = self.receive_to_end()?;
        ensure(end == End::Fin, || {
            format!(
                "expected FIN, got RST after {} bytes '{}'",
                bytes.len(),
                shown(&bytes)
            )
        })?;
        Ok(bytes)
    }

    /// Waits until bytes, or the end of the connection, can be read, without consuming them.
    ///
    /// # Errors
    /// Nothing came for [`WAIT_MAX`].
    pub fn wait_readable(&self) -> Check {
        match self.stream.peek(&mut [0]) {
            Err(error) if !is_reset(&error) => Err(Failure::Broken(format!(
                "expected bytes, got {}",
                describe(&error)
            ))),
            _ => Ok(()),
        }
    }

    /// Returns whether bytes or FIN can be read now, without consuming them.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn is_readable(&self) -> Check<bool> {
        let peek = || -> io::Result<bool> {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            match peeked {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            }
        };
        peek().during("peeking at a connection")
    }

    /// Duplicates the handle, so that one thread can send while another receives.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn second_handle(&self) -> Check<Self> {
        let stream = self.stream.try_clone().during("duplicating a socket")?;
        Ok(Self { stream })
    }
}

/// Returns whether the peer reset the connection. A write after that fails with a broken pipe.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("nothing for {} s", WAIT_MAX.as_secs())
        }
        _ => error.to_string(),
    }
}
