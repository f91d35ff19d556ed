//! A client of any of the servers, whose connection lasts until it leaves.

use super::{Daemon, FaultRole};
use crate::connection::Connection;
use crate::failure::{Check, same_bytes};

/// A client of a server that was started with [`Content::Lasting`](super::Content::Lasting): its connection stays open
/// until it is dropped, and [`Guest::is_served`] shows that the server serves it now.
pub struct Guest {
    connection: Connection,
    role: FaultRole,
    question: Vec<u8>,
    answer: Vec<u8>,
    received: usize,
}

impl Guest {
    pub(super) fn connect(daemon: &Daemon, role: FaultRole) -> Check<Self> {
        /// A proxy's connection lasts because its client does not read. A smaller buffer makes the reading very slow.
        const BUFFER_BYTES: usize = 256 << 10;
        let connection = match role {
            FaultRole::Proxy => daemon.connect_narrow(BUFFER_BYTES)?,
            _ => daemon.connect()?,
        };
        Ok(Self {
            connection,
            role,
            question: daemon.question(),
            answer: daemon.answer(),
            received: 0,
        })
    }

    /// Expects that the server serves this client: by the reply to a request, the next bytes of a slow poem, or the whole
    /// poem of a proxy, after which the connection ends.
    ///
    /// # Errors
    /// It does not.
    pub fn is_served(&mut self) -> Check {
        match self.role {
            FaultRole::PoemServer => {
                const BYTES: usize = 3;
                let bytes = self.connection.receive(BYTES)?;
                let expected = &self.answer[self.received..][..BYTES];
                same_bytes("the next bytes of the poem", &bytes, expected)?;
                self.received += BYTES;
                Ok(())
            }
            FaultRole::Proxy => self.connection.expect_last("the poem", &self.answer),
            _ => {
                self.connection.send(&self.question)?;
                let reply = self.connection.receive(self.answer.len())?;
                same_bytes("the reply", &reply, &self.answer)
            }
        }
    }

    /// Returns whether the server has accepted this client: it has sent something.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn has_bytes(&self) -> Check<bool> {
        self.connection.is_readable()
    }

    /// Returns its connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the connection.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}
