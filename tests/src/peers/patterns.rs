//! Ways to split the same bytes into writes.

use crate::connection::Connection;
use crate::failure::Check;
use crate::running::RunningServer;

/// A way to split bytes into writes.
pub trait SendPattern {
    /// Sends `bytes` to `server` over `connection`.
    ///
    /// # Errors
    /// The server does not read them.
    fn send(&self, connection: &mut Connection, bytes: &[u8], server: &RunningServer) -> Check;
}

/// Sends all bytes in one write.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

impl SendPattern for Whole {
    fn send(&self, connection: &mut Connection, bytes: &[u8], _: &RunningServer) -> Check {
        connection.send(bytes)
    }
}

/// Sends each byte in its own write.
#[derive(Debug, Clone, Copy)]
pub struct SplitsEveryByte;

impl SendPattern for SplitsEveryByte {
    fn send(&self, connection: &mut Connection, bytes: &[u8], _: &RunningServer) -> Check {
        bytes.chunks(1).try_for_each(|byte| connection.send(byte))
    }
}

/// Sends this many bytes, and the rest once the server has read them, so that the server certainly sees the split.
#[derive(Debug, Clone, Copy)]
pub struct SplitsAt(pub usize);

impl SendPattern for SplitsAt {
    fn send(&self, connection: &mut Connection, bytes: &[u8], server: &RunningServer) -> Check {
        let (first, rest) = bytes.split_at(self.0);
        let read = server.counts()?.bytes_in + first.len() as u64;
        connection.send(first)?;
        server.wait_until("the first part to be read", |counts| {
            counts.bytes_in >= read
        })?;
        connection.send(rest)
    }
}

/// Splits the bytes at random places, which are the same for the same seed.
#[derive(Debug, Clone, Copy)]
pub struct CutsAtRandom(pub u64);

impl SendPattern for CutsAtRandom {
    fn send(&self, connection: &mut Connection, bytes: &[u8], _: &RunningServer) -> Check {
        let mut random = fastrand::Rng::with_seed(self.0);
        let longest = random.usize(1..=bytes.len().max(1));
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(random.usize(1..=longest.min(rest.len())));
            connection.send(piece)?;
            rest = behind;
        }
        Ok(())
    }
}
