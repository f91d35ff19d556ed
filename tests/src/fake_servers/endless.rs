//! Servers that do not come to an end, with bytes or without.

use std::thread;
use std::time::Duration;

use super::Behaviour;
use crate::connection::Connection;
use crate::failure::Check;

/// Accepts, and says nothing until the client leaves.
#[derive(Debug, Clone, Copy)]
pub struct NeverAnswers;

impl Behaviour for NeverAnswers {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive_to_end().map(drop)
    }
}

/// Reads so many bytes of a request, and says nothing until the client leaves.
#[derive(Debug, Clone, Copy)]
pub struct NeverReplies(pub usize);

impl Behaviour for NeverReplies {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.receive_to_end().map(drop)
    }
}

/// Sends as fast as it can until the client leaves.
#[derive(Debug, Clone, Copy)]
pub struct SendsForever;

impl Behaviour for SendsForever {
    fn serve(&self, mut connection: Connection) -> Check {
        let piece = [b'x'; 8 << 10];
        while connection.try_send(&piece).is_ok() {}
        Ok(())
    }
}

/// Sends a byte now and then until the client leaves, or long after it should have left.
#[derive(Debug, Clone, Copy)]
pub struct TricklesForever {
    /// Between two bytes.
    pub every: Duration,
}

impl Behaviour for TricklesForever {
    fn serve(&self, mut connection: Connection) -> Check {
        const BYTES: usize = 600;
        for _ in 0..BYTES {
            connection.send(b"x")?;
            // The slowness is the server's nature: nothing is waited for here.
            thread::sleep(self.every);
        }
        Ok(())
    }
}
