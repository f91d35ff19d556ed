//! Servers that never finish: silent, or sending without end.

use std::thread;
use std::time::Duration;

use super::Behaviour;
use crate::connection::Connection;
use crate::failure::Check;

/// Accepts, and sends nothing until the client closes.
#[derive(Debug, Clone, Copy)]
pub struct NeverAnswers;

impl Behaviour for NeverAnswers {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive_to_end().map(drop)
    }
}

/// Reads this many bytes of a request, and sends nothing until the client closes.
#[derive(Debug, Clone, Copy)]
pub struct NeverReplies(pub usize);

impl Behaviour for NeverReplies {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.receive_to_end().map(drop)
    }
}

/// Sends as fast as it can until the client closes.
#[derive(Debug, Clone, Copy)]
pub struct SendsForever;

impl Behaviour for SendsForever {
    fn serve(&self, mut connection: Connection) -> Check {
        let piece = [b'x'; 8 << 10];
        while connection.try_send(&piece).is_ok() {}
        Ok(())
    }
}

/// Sends single bytes slowly until the client closes, or for longer than it may stay.
#[derive(Debug, Clone, Copy)]
pub struct TricklesForever {
    /// The interval between two bytes.
    pub every: Duration,
}

impl Behaviour for TricklesForever {
    fn serve(&self, mut connection: Connection) -> Check {
        const BYTES: usize = 600;
        for _ in 0..BYTES {
            connection.send(b"x")?;
            // This sleep is the behaviour under test; it awaits no event.
            thread::sleep(self.every);
        }
        Ok(())
    }
}
