//! One request and its reply, each a netstring: what a client exchanges with a library (S8) or a transform server (S3).

use std::io;

use poetry::FetchFailure;
use poetry::error::is_reset_after_fin;
use poetry::netstring::{Decoder, FramingError};

use crate::port::{Stream, Tcp};

/// An exchange under way.
pub(crate) struct Exchange {
    request: Vec<u8>,
    /// Bytes of the request that the kernel has taken.
    sent: usize,
    decoder: Decoder,
    /// Whether a byte of the reply has come.
    has_reply: bool,
    /// The error that ended the writing.
    broken: Option<io::Error>,
}

impl Exchange {
    /// Creates the exchange of `request` for a reply of at most `reply_bytes_max` bytes.
    pub(crate) fn new(request: Vec<u8>, reply_bytes_max: usize) -> Self {
        Self {
            request,
            sent: 0,
            decoder: Decoder::new(reply_bytes_max),
            has_reply: false,
            broken: None,
        }
    }

    /// Writes as much of the request as the kernel takes now. If the connection is broken, the reply may have come before;
    /// [`Exchange::closed`] reports the error once everything is read.
    pub(crate) fn write<S: Stream>(&mut self, tcp: &mut Tcp<S>) {
        if self.sent < self.request.len() {
            let written = tcp.write(&self.request[self.sent..]);
            self.on_written(written);
        }
    }

    /// Writes more when the idle timeout is over, into room that the kernel has not announced (S18). Returns whether it took
    /// a byte.
    pub(crate) fn write_unannounced<S: Stream>(&mut self, tcp: &mut Tcp<S>) -> bool {
        let before = self.sent;
        if self.sent < self.request.len() {
            let written = tcp.write_unannounced(&self.request[self.sent..]);
            self.on_written(written);
        }
        self.sent > before
    }

    fn on_written(&mut self, written: io::Result<usize>) {
        match written {
            Ok(taken) => self.sent += taken,
            Err(error) => {
                self.sent = self.request.len();
                // After FIN the reply is complete. Any other error ends the reading too, but the kernel reports it only once.
                self.broken = Some(error).filter(|error| !is_reset_after_fin(error));
            }
        }
    }

    /// Takes bytes of the reply. Returns the reply once it is complete.
    ///
    /// # Errors
    /// It is not a netstring.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, FramingError> {
        self.has_reply = true;
        let mut frames = self.decoder.feed(bytes);
        frames.next().map(|reply| reply.map(<[u8]>::to_vec))
    }

    /// Returns the failure of an exchange whose server has closed before the reply was complete.
    pub(crate) fn closed(&mut self) -> FetchFailure {
        match self.broken.take() {
            Some(error) => FetchFailure::connection_lost(&error),
            None if self.has_reply => FetchFailure::CutShort,
            None => FetchFailure::Refused,
        }
    }
}
