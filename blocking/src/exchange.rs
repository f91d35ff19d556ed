//! One request and its reply, both netstrings: how a poem is fetched by its name (S8), and how one is transformed (S13).

use poetry::error::decode_poem;
use poetry::netstring::{Decoder, FramingError};
use poetry::{FetchFailure, Peer};

use crate::buffers::ReadBuffer;
use crate::context::Context;
use crate::deadlines::{Timed, Wire};

/// What a client accepts as a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyRules {
    /// The most bytes of a reply.
    pub(crate) bytes_max: usize,
    /// Returns the failure for a reply that is not a netstring.
    pub(crate) not_a_netstring: fn(FramingError) -> FetchFailure,
}

// ANCHOR: exchange
/// Connects to `peer`, sends `request`, and reads one reply.
///
/// # Errors
/// Fails as connecting, writing or reading does, or if the reply breaks `rules` or is not UTF-8.
pub(crate) fn exchange(
    peer: &Peer,
    request: &[u8],
    rules: ReplyRules,
    context: &mut Context<'_>,
) -> Result<String, FetchFailure> {
    let wire = &mut context.connect(peer)?.wire;
    exchange_over(wire, request, rules, context)
}

/// As [`exchange`], over a connection.
pub(crate) fn exchange_over<W: Wire>(
    wire: &mut Timed<W>,
    request: &[u8],
    rules: ReplyRules,
    context: &mut Context<'_>,
) -> Result<String, FetchFailure> {
    let reply = match context.write(wire, request) {
        Ok(()) => read_reply(wire, rules, context),
        // A reply that arrived before the connection broke can still be read, and no read of a broken one waits.
        Err(lost @ FetchFailure::ConnectionLost { .. }) => {
            read_reply(wire, rules, context).map_err(|_| lost)
        }
        Err(failure) => Err(failure),
    };
    reply.and_then(decode_poem)
}
// ANCHOR_END: exchange

/// Reads one netstring. Bytes after it are ignored.
pub(crate) fn read_reply<W: Wire>(
    wire: &mut Timed<W>,
    rules: ReplyRules,
    context: &mut Context<'_>,
) -> Result<Vec<u8>, FetchFailure> {
    let mut decoder = Decoder::new(rules.bytes_max);
    let mut buffer = ReadBuffer::new(&context.shared.buffers);
    loop {
        let length = context.read(wire, buffer.space())?;
        if length == 0 {
            return Err(if decoder.is_mid_frame() {
                FetchFailure::CutShort
            } else {
                FetchFailure::Refused
            });
        }
        let mut replies = decoder.feed(buffer.filled(length));
        if let Some(reply) = replies.next().map_err(rules.not_a_netstring)? {
            return Ok(reply.to_vec());
        }
        drop(replies);
        buffer.adapt(length);
    }
}
