//! The transform client, and its fallback: when the transform fails, the original poem is kept (S13).

use std::io;
use std::time::Duration;

use futures::{Stream, TryStreamExt, pin_mut};
use poetry::error::{Timeout, decode_poem, is_reset_after_fin};
use poetry::netstring::Decoder;
use poetry::{FetchError, FetchFailure, Kind, Limits, Peer, Poem, Role, Via, request};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::deadlines::{deadline, until};
use crate::fetch::{Call, Fetch};
use crate::{chunks, net};

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
        let socket = net::connect_once(&peer, limits.connect_timeout).await?;
        exchange(socket, &request, limits, |_| ()).await
    });
    let transformed = transformed.await.map(Poem::from);
    transformed.map_err(|failure| FetchError::new(&peer, failure))
}

/// Sends `request` and reads the one reply. `on_chunk` is called with the bytes of each read.
async fn exchange<S>(
    mut socket: S,
    request: &[u8],
    limits: &Limits,
    on_chunk: impl FnMut(&Vec<u8>),
) -> Result<String, FetchFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send(&mut socket, request, limits.idle_timeout).await?;
    let reply = chunks::timely(socket, limits.idle_timeout).inspect_ok(on_chunk);
    first_frame(reply, limits.frame_bytes_max).await
}
// ANCHOR_END: transform

/// The request as a netstring, if it fits in a frame.
fn encode(name: &str, poem: &str, limits: &Limits) -> Result<Vec<u8>, FetchFailure> {
    if request::len(name, poem) > limits.frame_bytes_max {
        let limit = limits.frame_bytes_max as u64;
        return Err(FetchFailure::TooLong { limit });
    }
    let mut request = Vec::new();
    request::encode(name, poem, &mut request);
    Ok(request)
}

/// Sends all of `request`, or as much as the peer takes before it finishes: its reply then tells why. Each byte that the
/// peer takes restarts `idle_timeout`. When that is over, the write is tried once more, since the kernel may not announce
/// small room (S18).
pub(crate) async fn send<S>(
    socket: &mut S,
    mut request: &[u8],
    idle_timeout: Duration,
) -> Result<(), FetchFailure>
where
    S: AsyncWrite + Unpin,
{
    while !request.is_empty() {
        // Polls the write once more when the time is over.
        let taken = timeout(idle_timeout, socket.write(request))
            .await
            .map_err(|_| FetchFailure::TimedOut(Timeout::Idle))?;
        match taken {
            Ok(taken @ 1..) => request = &request[taken..],
            Ok(0) => {
                return Err(FetchFailure::connection_lost(
                    &io::ErrorKind::WriteZero.into(),
                ));
            }
            Err(error) if is_reset_after_fin(&error) => return Ok(()),
            Err(error) => return Err(FetchFailure::connection_lost(&error)),
        }
    }
    Ok(())
}

/// The first frame of the chunks, as a poem.
async fn first_frame(
    chunks: impl Stream<Item = Result<Vec<u8>, FetchFailure>>,
    frame_bytes_max: usize,
) -> Result<String, FetchFailure> {
    pin_mut!(chunks);
    let mut decoder = Decoder::new(frame_bytes_max);
    let mut at_end = FetchFailure::Refused;
    while let Some(chunk) = chunks.try_next().await? {
        match decoder.feed(&chunk).next() {
            Ok(Some(reply)) => return decode_poem(reply.to_vec()),
            Ok(None) => at_end = FetchFailure::CutShort,
            Err(error) => return Err(FetchFailure::Garbled(error)),
        }
    }
    Err(at_end)
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
