//! The transform client, and its fallback: when the transform fails, the original poem is kept (S13).

use futures::TryStreamExt;
use poetry::error::decode_poem;
use poetry::{FetchError, FetchFailure, Kind, Limits, Peer, Poem, Role, Via, request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::deadlines::{deadline, until};
use crate::exchange::{send, unwrapped};
use crate::fetch::{Call, Fetch};
use crate::{chunks, dialling};

// ANCHOR: transform
/// Has `poem` transformed by the server at `peer`, with the default limits. `name` is one of
/// [`TRANSFORMS`](poetry::transform::TRANSFORMS), such as `cummingsify` or `shout`. Needs a runtime as
/// [`poem`](crate::poem) does. To keep the original if the transform fails (S13), match on the error.
///
/// # Errors
/// Fails with the peer and the failure (S11). A server that does not know `name` closes without a reply, which is
/// *refused*. A request that does not fit in a frame is too long and is not sent.
pub async fn transform(peer: impl Into<Peer>, name: &str, poem: &str) -> Result<Poem, FetchError> {
    transform_with(peer, name, poem, &Limits::default()).await
}

/// [`transform`] with `limits` for the time to connect, the silence of the server, the length of a frame, and the
/// duration of the whole (S15).
///
/// # Errors
/// Fails with the peer and the failure, as [`transform`] does.
pub async fn transform_with(
    peer: impl Into<Peer>,
    name: &str,
    poem: &str,
    limits: &Limits,
) -> Result<Poem, FetchError> {
    let peer = peer.into();
    let transformed = until(deadline(limits.total_deadline), async {
        let request = encode(name, poem, limits)?;
        let socket = dialling::connect_once(&peer, limits.connect_timeout).await?;
        exchange(socket, &request, limits, |_| ()).await
    });
    let transformed = transformed.await.map(Poem::from);
    transformed.map_err(|failure| FetchError::new(&peer, failure))
}

/// Sends `request` and reads the one reply. `on_chunk` is called with the bytes of each read.
pub(crate) async fn exchange<S>(
    mut socket: S,
    request: &[u8],
    limits: &Limits,
    on_chunk: impl FnMut(&Vec<u8>),
) -> Result<String, FetchFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send(&mut socket, request, limits.idle_timeout).await?;
    let wire = chunks::timely(socket, limits.idle_timeout).inspect_ok(on_chunk);
    let reply = unwrapped(wire, limits.frame_bytes_max, FetchFailure::Garbled);
    decode_poem(reply.try_concat().await?)
}
// ANCHOR_END: transform

/// The request as a netstring, if it fits in a frame.
pub(crate) fn encode(name: &str, poem: &str, limits: &Limits) -> Result<Vec<u8>, FetchFailure> {
    if request::len(name, poem) > limits.frame_bytes_max {
        let limit = limits.frame_bytes_max as u64;
        return Err(FetchFailure::TooLong { limit });
    }
    let mut request = Vec::new();
    request::encode(name, poem, &mut request);
    Ok(request)
}

// ANCHOR: fallback
/// The transformed poem, or the original and the reason that it was not transformed.
pub(crate) async fn fall_back(
    fetch: &Fetch<'_>,
    via: &Via,
    poem: String,
    deadline: Option<Instant>,
) -> (String, Option<FetchError>) {
    let reporter = fetch.reporter.for_role(Role::TransformClient);
    let call = Call::new(&reporter, fetch.descriptors, fetch.scene(Some(fetch.task)));
    let transformed = until(deadline, transform_in(&call, via, &poem, fetch.limits)).await;
    call.report_end(transformed.as_deref());
    match transformed {
        Ok(transformed) => (transformed, None),
        Err(failure) => (poem, Some(FetchError::new(&via.peer, failure))),
    }
}
// ANCHOR_END: fallback

async fn transform_in(
    call: &Call<'_>,
    via: &Via,
    poem: &str,
    limits: &Limits,
) -> Result<String, FetchFailure> {
    let request = encode(&via.transform, poem, limits)?;
    let socket = call.connect(&via.peer, limits).await?;
    let on_chunk = |chunk: &Vec<u8>| {
        let bytes = chunk.len() as u64;
        call.report(Kind::Read { bytes });
    };
    exchange(socket, &request, limits, on_chunk).await
}

#[cfg(test)]
mod tests;
