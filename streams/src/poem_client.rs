//! The poem client: a poem is a lazy stream of chunks (S10–S15, L1–L4).
//!
//! In Haskell a poem can be a lazy list of characters, and reading the list reads the handle:
//!
//! ```haskell
//! poem <- hGetContents handle      -- nothing is read yet
//! mapM_ putStrLn (lines poem)      -- each line reads as much as it needs
//! ```
//!
//! Here it is a stream, and [`lines`](crate::lines()) is the same adaptor. `take 1 . lines` is `lines(poem).take(1)`.
//! Two weaknesses of lazy IO are gone: the type of an item shows that a read may fail, and dropping the stream closes
//! the socket at once, where a handle that is not read to its end stays open until it is garbage collected.

use std::future::poll_fn;
use std::time::Duration;

use futures::{Stream, TryStreamExt, stream};
use poetry::error::{Timeout, decode_poem};
use poetry::{FetchError, FetchFailure, Limits, Peer, Poem};
use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::deadlines::{deadline, until};
use crate::{buffer, chunks, dialling};

/// The poem at `peer` as a lazy stream of chunks, with the default limits.
///
/// Nothing happens until it is polled (L1), in a tokio runtime with I/O and time enabled. Then it connects to the first
/// of the peer's addresses that accepts, and reads once for each chunk (L2). An error is the last item (L4); unlike
/// that of [`get_poetry`], it does not name the peer. Dropping the stream closes the socket at once.
///
/// # Panics
/// The stream panics when it is polled outside such a runtime.
pub fn poem(
    peer: impl Into<Peer>,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Send + Unpin {
    poem_with(peer, Limits::default())
}

/// [`poem`] with `limits` for the time to connect, the silence between two chunks, and the length and duration of the
/// whole (S15). The total deadline counts from the first poll, so a slow reader uses it up.
// ANCHOR: lazy_poem
pub fn poem_with(
    peer: impl Into<Peer>,
    limits: Limits,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Send + Unpin {
    let peer = peer.into();
    let (connect_timeout, total) = (limits.connect_timeout, limits.total_deadline);
    let connected = async move { dialling::connect_once(&peer, connect_timeout).await };
    let chunks = stream::once(connected)
        .map_ok(move |socket| chunks_of(socket, &limits))
        .try_flatten();
    chunks::total_deadline(Box::pin(chunks), total)
}
// ANCHOR_END: lazy_poem

/// The chunks of `source`, bounded in silence and in length.
pub(crate) fn chunks_of<R>(
    source: R,
    limits: &Limits,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + use<R>
where
    R: AsyncRead + Unpin,
{
    chunks::at_most(
        chunks::timely(source, limits.idle_timeout),
        limits.poem_bytes_max,
    )
}

// ANCHOR: get_poetry
/// The whole poem at `peer`, with the default limits. Needs a runtime as [`poem`] does.
///
/// # Errors
/// Fails with the peer and the first failure: the connection failed or was lost, or the poem is late, too long or not
/// UTF-8 (S11).
pub async fn get_poetry(peer: impl Into<Peer>) -> Result<Poem, FetchError> {
    get_poetry_with(peer, Limits::default()).await
}

/// [`get_poetry`] with `limits`, which mean the same as in [`poem_with`].
///
/// # Errors
/// Fails with the peer and the first failure, as [`get_poetry`] does.
pub async fn get_poetry_with(peer: impl Into<Peer>, limits: Limits) -> Result<Poem, FetchError> {
    let peer = peer.into();
    let poem = poem_with(peer.clone(), limits).try_concat().await;
    poem.and_then(decode_poem)
        .map(Poem::from)
        .map_err(|failure| FetchError::new(&peer, failure))
}

// ANCHOR: by_hand
/// [`get_poetry_with`] without combinators, to show how they work: each `await` is a place where the fetch waits
/// and may be dropped.
///
/// # Errors
/// Fails with the first failure, without the peer.
pub async fn get_poetry_by_hand(
    peer: impl Into<Peer>,
    limits: Limits,
) -> Result<Poem, FetchFailure> {
    let peer = peer.into();
    until(deadline(limits.total_deadline), async {
        let mut socket = dialling::connect_once(&peer, limits.connect_timeout).await?;
        let mut poem = Vec::new();
        while let Some(chunk) = read_chunk(&mut socket, limits.idle_timeout).await? {
            poem.extend_from_slice(&chunk);
            if poem.len() > limits.poem_bytes_max {
                let limit = limits.poem_bytes_max as u64;
                return Err(FetchFailure::TooLong { limit });
            }
        }
        decode_poem(poem).map(Poem::from)
    })
    .await
}
// ANCHOR_END: by_hand
// ANCHOR_END: get_poetry

// ANCHOR: read_chunk
/// Reads once, within `idle_timeout`; `None` at the end.
async fn read_chunk<R>(
    source: &mut R,
    idle_timeout: Duration,
) -> Result<Option<Vec<u8>>, FetchFailure>
where
    R: AsyncRead + Unpin,
{
    let read = poll_fn(|cx| buffer::poll_read_with(source, cx, <[u8]>::to_vec));
    let chunk = timeout(idle_timeout, read)
        .await
        .map_err(|_| FetchFailure::TimedOut(Timeout::Idle))?
        .map_err(|error| FetchFailure::connection_lost(&error))?;
    Ok((!chunk.is_empty()).then_some(chunk))
}
// ANCHOR_END: read_chunk
