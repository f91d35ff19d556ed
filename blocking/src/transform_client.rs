//! The transform client (S13): sends a poem as one request, reads one reply, and keeps the original when that fails.

use poetry::error::decode_poem;
use poetry::netstring::Decoder;
use poetry::{FetchError, FetchFailure, Via, request};

use crate::buffers::ReadBuffer;
use crate::context::Context;
use crate::deadlines::{Timed, Wire};

// ANCHOR: transform
/// Has `poem` transformed.
///
/// # Errors
/// What went wrong first, one of S11 and S13.
pub fn transform(poem: &str, via: &Via, context: &mut Context<'_>) -> Result<String, FetchFailure> {
    let limit = context.limits.frame_bytes_max;
    if request::len(&via.transform, poem) > limit {
        let limit = limit as u64;
        return Err(FetchFailure::TooLong { limit });
    }
    let mut request = Vec::new();
    request::encode(&via.transform, poem, &mut request);
    let mut wire = context.connect(&via.peer)?;
    context.write(&mut wire, &request)?;
    read_reply(&mut wire, context).and_then(decode_poem)
}
// ANCHOR_END: transform

// ANCHOR: fallback
/// The transformed poem; or the original, and why (S13).
///
/// # Errors
/// Cancelled: whoever calls a fetch off does not want the original either. That is the fetch's failure, and is left to
/// it to tell.
pub fn transform_or_keep(
    poem: String,
    via: &Via,
    mut context: Context<'_>,
) -> Result<(String, Option<FetchError>), FetchFailure> {
    let transformed = transform(&poem, via, &mut context);
    if let Err(FetchFailure::Cancelled) = transformed {
        return Err(FetchFailure::Cancelled);
    }
    context.tell(&transformed);
    match transformed {
        Ok(transformed) => Ok((transformed, None)),
        Err(failure) => Ok((poem, Some(FetchError::new(&via.peer, failure)))),
    }
}
// ANCHOR_END: fallback

/// Reads one netstring; what may follow it is nobody's business.
pub(crate) fn read_reply<W: Wire>(
    wire: &mut Timed<W>,
    context: &mut Context<'_>,
) -> Result<Vec<u8>, FetchFailure> {
    let mut decoder = Decoder::new(context.limits.frame_bytes_max);
    let mut buffer = ReadBuffer::new(context.buffers);
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
        if let Some(reply) = replies.next().map_err(FetchFailure::Garbled)? {
            return Ok(reply.to_vec());
        }
        drop(replies);
        buffer.adapt(length);
    }
}
