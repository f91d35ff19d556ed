//! A raw socket with a guard on every wait. What a subject sends is judged here byte by byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::PATIENCE;
use crate::failure::{Check, During, Failure, ensure, os_result, same_bytes, shown};
use crate::wire;

/// How the other end finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It finished sending: FIN.
    Fin,
    /// It broke the connection: RST.
    Reset,
}

/// One end of a connection, in the suite's hand.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects to a subject.
    ///
    /// # Errors
    /// The connection could not be made.
    pub fn open(address: SocketAddr) -> Check<Self> {
        let stream = os_result(TcpStream::connect_timeout(&address, PATIENCE), "connecting")?;
        Self::of(stream).during("setting up a connection")
    }

    /// Connects with a receive buffer of about `bytes`, so that a peer's bytes wait at the peer.
    ///
    /// # Errors
    /// The connection could not be made.
    pub fn open_narrow(address: SocketAddr, bytes: usize) -> Check<Self> {
        let connect = || -> io::Result<Self> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_recv_buffer_size(bytes)?;
            socket.connect_timeout(&address.into(), PATIENCE)?;
            Self::of(socket.into())
        };
        os_result(connect(), "connecting")
    }

    /// Takes over a connection that was accepted.
    ///
    /// # Errors
    /// The system refused a socket option.
    pub fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// This end's address.
    ///
    /// # Errors
    /// The socket is no longer connected.
    pub fn local(&self) -> Check<SocketAddr> {
        self.stream.local_addr().during("asking for an address")
    }

    /// The other end's address.
    ///
    /// # Errors
    /// The socket is no longer connected.
    pub fn peer(&self) -> Check<SocketAddr> {
        self.stream.peer_addr().during("asking for an address")
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The other end does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> Check {
        let sent = self.try_send(bytes);
        sent.during(&format!("sending '{}'", shown(bytes)))
    }

    /// Sends all of `bytes`, to a peer that may well be gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Finishes sending, and goes on reading.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn half_close(&self) -> Check {
        self.stream.shutdown(Shutdown::Write).during("sending FIN")
    }

    /// Breaks the connection: RST.
    ///
    /// # Errors
    /// The system refused.
    pub fn reset(self) -> Check {
        self.prepare_reset()
    }

    /// Wakes whoever waits on another handle of this connection. When the last handle is dropped, it breaks: RST.
    ///
    /// # Errors
    /// The system refused.
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
    /// The other end finished, broke, or kept silent before.
    pub fn receive(&mut self, count: usize) -> Check<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => {
                    return Err(Failure::Broken(format!(
                        "expected {count} bytes, came FIN after {filled}: '{}'",
                        shown(&bytes[..filled])
                    )));
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let came = shown(&bytes[..filled]);
                    let failure = said(&error);
                    return Err(Failure::Broken(format!(
                        "expected {count} bytes, came {filled}: '{came}', then {failure}"
                    )));
                }
            }
        }
        Ok(bytes)
    }

    /// Receives all there is until the other end finishes or breaks.
    ///
    /// # Errors
    /// It does neither within the suite's patience.
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
                        "expected the connection to end, came {} bytes '{}', then {}",
                        bytes.len(),
                        shown(&bytes),
                        said(&error)
                    )));
                }
            }
        }
    }

    /// Receives all there is until FIN.
    ///
    /// # Errors
    /// It ended by RST, or not at all.
    pub fn receive_to_fin(&mut self) -> Check<Vec<u8>> {
        let (bytes, end) = self.receive_to_end()?;
        ensure(end == End::Fin, || {
            let came = shown(&bytes);
            format!(
                "expected FIN, came RST after {} bytes '{came}'",
                bytes.len()
            )
        })?;
        Ok(bytes)
    }

    /// Expects one reply that holds `poem`, and leaves what is behind it.
    ///
    /// # Errors
    /// Something else came.
    pub fn expect_reply(&mut self, poem: &str) -> Check {
        let expected = wire::netstring(poem);
        let came = self.receive(expected.len())?;
        same_bytes("the reply", &came, &expected)
    }

    /// Expects exactly `bytes` and then FIN.
    ///
    /// # Errors
    /// Something else came, or another end.
    pub fn expect_last(&mut self, what: &str, bytes: &[u8]) -> Check {
        let came = self.receive_to_fin()?;
        same_bytes(what, &came, bytes)
    }

    /// Expects FIN, and nothing before it.
    ///
    /// # Errors
    /// Something else came.
    pub fn expect_fin(&mut self) -> Check {
        self.expect_last("what came before FIN", b"")
    }

    /// Expects that the other end closes, by FIN or RST, without another byte.
    ///
    /// # Errors
    /// Bytes came, or no end.
    pub fn expect_closed(&mut self) -> Check<End> {
        let (bytes, end) = self.receive_to_end()?;
        same_bytes("what came before the end", &bytes, b"")?;
        Ok(end)
    }

    /// Expects that nothing comes, and no end either, for a moment. What does not happen cannot be waited for, so a
    /// subject that is slow to do wrong may escape; none that does right fails.
    ///
    /// # Errors
    /// Something came.
    pub fn expect_silence(&mut self) -> Check {
        const MOMENT: Duration = Duration::from_millis(100);
        self.stream
            .set_read_timeout(Some(MOMENT))
            .during("setting a timeout")?;
        let mut buffer = [0; 64];
        let read = self.stream.read(&mut buffer);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .during("setting a timeout")?;
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(error) => Err(Failure::Broken(format!(
                "expected a connection that stands, came {error}"
            ))),
            Ok(0) => Err(Failure::broken(
                "expected a connection that stands, came FIN",
            )),
            Ok(read) => Err(Failure::Broken(format!(
                "expected nothing, came '{}'",
                shown(&buffer[..read])
            ))),
        }
    }

    /// Whether something, or FIN, can be read now; what it is stays where it is.
    ///
    /// # Errors
    /// The connection is gone.
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
        peek().during("looking at a connection")
    }

    /// A second handle, so that one thread can send while another receives.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn second_handle(&self) -> Check<Self> {
        let stream = self.stream.try_clone().during("duplicating a socket")?;
        Ok(Self { stream })
    }
}

/// Whether the other end broke the connection; a write to one that did is a broken pipe.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("nothing for {} s", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    }
}
