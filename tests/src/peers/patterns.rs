//! How the same bytes can be sent: whole, or cut in one way or another.

use crate::connection::Connection;
use crate::failure::Check;
use crate::running::RunningServer;

/// A way to send bytes.
pub trait SendPattern {
    /// Sends `bytes` to `server` in this way.
    ///
    /// # Errors
    /// The server does not take them.
    fn send(&self, connection: &mut Connection, bytes: &[u8], server: &RunningServer) -> Check;
}

/// Sends all at once.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

impl SendPattern for Whole {
    fn send(&self, connection: &mut Connection, bytes: &[u8], _: &RunningServer) -> Check {
        connection.send(bytes)
    }
}

/// Sends every byte by itself.
#[derive(Debug, Clone, Copy)]
pub struct SplitsEveryByte;

impl SendPattern for SplitsEveryByte {
    fn send(&self, connection: &mut Connection, bytes: &[u8], _: &RunningServer) -> Check {
        bytes.chunks(1).try_for_each(|byte| connection.send(byte))
    }
}

/// Sends so many bytes, and the rest only when the server has read them: the cut is certain to be seen.
#[derive(Debug, Clone, Copy)]
pub struct SplitsAt(pub usize);

impl SendPattern for SplitsAt {
    fn send(&self, connection: &mut Connection, bytes: &[u8], server: &RunningServer) -> Check {
        let (first, rest) = bytes.split_at(self.0);
        let read = server.counts()?.bytes_in + first.len() as u64;
        connection.send(first)?;
        server.wait_until("the first part read", |counts| counts.bytes_in >= read)?;
        connection.send(rest)
    }
}

/// Cuts the bytes in as many places as it likes, the same ones for the same seed.
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
