//! Idle connections, each of which has made one request, to measure the cost of a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Ledger, LoadError};
use crate::exchange::Exchange;

/// Open, idle connections. Dropping closes them.
#[derive(Debug)]
pub struct Held {
    address: SocketAddr,
    exchange: Exchange,
    timeout: Duration,
    streams: Vec<TcpStream>,
    ledger: Ledger,
}

/// Opens `connections` to the keep-alive server at `address`, one after another; each makes one request, whose reply
/// is verified, and then stays idle. `timeout` applies to each reply.
///
/// # Errors
/// As [`super::run`].
pub fn hold(
    address: SocketAddr,
    exchange: Exchange,
    connections: usize,
    timeout: Duration,
) -> Result<Held, LoadError> {
    let mut held = Held {
        address,
        exchange,
        timeout,
        streams: Vec::new(),
        ledger: Ledger::default(),
    };
    held.grow(connections)?;
    Ok(held)
}

impl Held {
    /// Opens more connections, until there are `connections`.
    ///
    /// # Errors
    /// As [`hold`].
    pub fn grow(&mut self, connections: usize) -> Result<(), LoadError> {
        while self.streams.len() < connections {
            let stream = self.open_one()?;
            self.streams.push(stream);
        }
        Ok(())
    }

    /// Returns the number of connections held.
    pub fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Checks that all connections are still open and idle.
    ///
    /// # Errors
    /// The server had closed a connection, or sent more bytes.
    pub fn check(&self) -> Result<(), LoadError> {
        self.streams.iter().try_for_each(is_idle)
    }

    /// Closes all connections, and waits until the server has closed them too.
    ///
    /// # Errors
    /// The server had closed a connection before, sent more bytes, or did not close.
    pub fn release(self) -> Result<Ledger, LoadError> {
        self.check()?;
        for stream in &self.streams {
            stream.shutdown(Shutdown::Write).map_err(LoadError::Lost)?;
        }
        for mut stream in self.streams {
            match stream.read(&mut [0; 1]) {
                Ok(0) => {}
                Ok(bytes) => return Err(LoadError::Excess { bytes }),
                Err(error) => return Err(LoadError::Lost(error)),
            }
        }
        Ok(self.ledger)
    }

    fn open_one(&mut self) -> Result<TcpStream, LoadError> {
        let mut stream = TcpStream::connect_timeout(&self.address, self.timeout)
            .map_err(LoadError::NoConnection)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        let (request, expected) = (&self.exchange.request, &self.exchange.reply);
        stream.write_all(request).map_err(LoadError::Lost)?;
        let mut reply = vec![0; expected.len()];
        stream.read_exact(&mut reply).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                LoadError::ClosedEarly {
                    owed: expected.len(),
                }
            } else {
                LoadError::Lost(error)
            }
        })?;
        let wrong = reply
            .iter()
            .zip(expected)
            .position(|(found, right)| found != right);
        if let Some(at) = wrong {
            return Err(LoadError::WrongByte {
                reply: self.ledger.answered,
                at,
                expected: expected[at],
                found: reply[at],
            });
        }
        self.ledger += Ledger {
            connections: 1,
            requests: 1,
            answered: 1,
            bytes_in: expected.len() as u64,
            bytes_out: request.len() as u64,
        };
        Ok(stream)
    }
}

/// Checks that a connection is open and has received nothing more.
fn is_idle(mut stream: &TcpStream) -> Result<(), LoadError> {
    stream.set_nonblocking(true)?;
    let read = stream.read(&mut [0; 1]);
    stream.set_nonblocking(false)?;
    match read {
        Ok(0) => Err(LoadError::ClosedEarly { owed: 0 }),
        Ok(bytes) => Err(LoadError::Excess { bytes }),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(LoadError::Lost(error)),
    }
}
