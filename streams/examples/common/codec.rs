//! Netstrings as a codec: what a [`Framed`](tokio_util::codec::Framed) needs to turn bytes into requests, and replies into bytes.

use std::io;

use poetry::limits::FRAME_BYTES_MAX;
use poetry::{Refusal, netstring};
use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// Requests as netstrings; replies are netstrings already.
pub(crate) struct Netstrings(netstring::Decoder);

impl Default for Netstrings {
    fn default() -> Self {
        Self(netstring::Decoder::new(FRAME_BYTES_MAX))
    }
}

impl Decoder for Netstrings {
    type Item = Vec<u8>;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Vec<u8>>> {
        let mut frames = self.0.feed(bytes);
        let frame = frames.next().map_err(io::Error::other)?.map(<[u8]>::to_vec);
        let consumed = bytes.len() - frames.rest().len();
        drop(frames);
        bytes.advance(consumed);
        Ok(frame)
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Vec<u8>>> {
        match self.decode(bytes)? {
            None if self.0.is_mid_frame() => Err(io::Error::other(Refusal::Truncated)),
            frame => Ok(frame),
        }
    }
}

impl Encoder<Vec<u8>> for Netstrings {
    type Error = io::Error;

    fn encode(&mut self, reply: Vec<u8>, bytes: &mut BytesMut) -> io::Result<()> {
        bytes.extend_from_slice(&reply);
        Ok(())
    }
}
