//! What a case expects of a connection: bytes, an end, or silence.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use super::{Connection, End};
use crate::WAIT_MAX;
use crate::exchanges::Exchange;
use crate::failure::{Check, During, Failure, ensure, equal, same_bytes, shown};
use crate::wire;

impl Connection {
    /// Expects one reply that contains `poem`; bytes behind it stay unread.
    ///
    /// # Errors
    /// Something else came instead.
    pub fn expect_reply(&mut self, poem: &str) -> Check {
        let expected = wire::netstring(poem);
        let received = self.receive(expected.len())?;
        same_bytes("the reply", &received, &expected)
    }

    /// Sends the request of `exchange` and expects its reply; bytes behind it stay unread.
    ///
    /// # Errors
    /// Something else came instead.
    pub fn expect_answer(&mut self, exchange: &Exchange) -> Check {
        self.send(&exchange.request)?;
        let received = self.receive(exchange.reply.len())?;
        same_bytes("the reply", &received, &exchange.reply)
    }

    /// Expects exactly `bytes` and then FIN.
    ///
    /// # Errors
    /// Other bytes came, or the connection ended differently.
    pub fn expect_last(&mut self, what: &str, bytes: &[u8]) -> Check {
        let received = self.receive_to_fin()?;
        same_bytes(what, &received, bytes)
    }

    /// Expects FIN, and nothing before it.
    ///
    /// # Errors
    /// Something else came instead.
    pub fn expect_fin(&mut self) -> Check {
        self.expect_last("the bytes before FIN", b"")
    }

    /// Expects that the peer closes, by FIN or RST, without sending another byte.
    ///
    /// # Errors
    /// Bytes came, or the connection stayed open.
    pub fn expect_closed(&mut self) -> Check<End> {
        let (bytes, end) = self.receive_to_end()?;
        same_bytes("the bytes before the end", &bytes, b"")?;
        Ok(end)
    }

    /// Expects that the peer resets the connection. The bytes before the reset are not checked.
    ///
    /// # Errors
    /// The connection ended by FIN, or stayed open.
    pub fn expect_reset(&mut self) -> Check {
        let (bytes, end) = self.receive_to_end()?;
        ensure(end == End::Reset, || {
            format!("expected RST, got FIN after {} bytes", bytes.len())
        })
    }

    /// Expects that the peer resets the connection without sending a byte.
    ///
    /// # Errors
    /// Bytes came, or the connection ended by FIN or stayed open.
    pub fn expect_reset_without_a_byte(&mut self) -> Check {
        let end = self.expect_closed()?;
        equal("the end of the connection", &end, &End::Reset)
    }

    /// Expects that the peer has not reset the connection up to now. A reset after FIN does not change what is received.
    ///
    /// # Errors
    /// It has.
    pub fn expect_no_reset(&self) -> Check {
        let error = self.stream.take_error().during("looking for a reset")?;
        equal(
            "the error of the connection",
            &error.map(|error| error.kind()),
            &None,
        )
    }

    /// Expects neither bytes nor an end for a moment. The absence of an event cannot be awaited: a wrong subject that is slow
    /// may pass, but a correct one never fails.
    ///
    /// # Errors
    /// Bytes, FIN or RST came.
    pub fn expect_silence(&mut self) -> Check {
        const MOMENT: Duration = Duration::from_millis(100);
        self.stream
            .set_read_timeout(Some(MOMENT))
            .during("setting a timeout")?;
        let mut buffer = [0; 64];
        let read = self.stream.read(&mut buffer);
        self.stream
            .set_read_timeout(Some(WAIT_MAX))
            .during("setting a timeout")?;
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(error) => Err(Failure::Broken(format!(
                "expected the connection to stay open, got {error}"
            ))),
            Ok(0) => Err(Failure::broken(
                "expected the connection to stay open, got FIN",
            )),
            Ok(read) => Err(Failure::Broken(format!(
                "expected no bytes, got '{}'",
                shown(&buffer[..read])
            ))),
        }
    }
}
