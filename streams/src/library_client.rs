//! The client of a library: a named poem is a lazy stream of chunks too, unwrapped from its netstring as it arrives (S8).
//!
//! So the first line of a long poem needs one read, as from a poem server. But here a poem that was cut short is an error,
//! since its length comes first.

use futures::{Stream, TryStreamExt, stream};
use poetry::error::decode_poem;
use poetry::library::PoemName;
use poetry::{FetchError, FetchFailure, Limits, Peer, Poem, netstring};
use tokio::io::AsyncWrite;

use crate::exchange::{send, unwrapped};
use crate::{chunks, dialling};

/// The poem called `name` in the library at `peer` as a lazy stream of chunks, with the default limits. It is as lazy as
/// [`poem`](crate::poem()), and needs the same runtime.
///
/// ```no_run
/// # async fn read() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{StreamExt, TryStreamExt};
///
/// let peer: streams::Peer = "10003".parse()?;
/// let mut title = streams::lines(streams::poem_named(peer, "lantern".parse()?)).take(1);
/// println!("{:?}", title.try_next().await?); // the rest is never read
/// # Ok(())
/// # }
/// ```
///
/// An error is the last item (L4). A library that has no such poem closes without a reply, which is *refused*; a poem that
/// ends early is *cut short*.
///
/// # Panics
/// The stream panics when it is polled outside such a runtime.
pub fn poem_named(
    peer: impl Into<Peer>,
    name: PoemName,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Send + Unpin {
    poem_named_with(peer, name, Limits::default())
}

/// [`poem_named`] with `limits`, which mean the same as in [`poem_with`](crate::poem_with()). The idle timeout bounds the
/// sending of the name too.
pub fn poem_named_with(
    peer: impl Into<Peer>,
    name: PoemName,
    limits: Limits,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Send + Unpin {
    let peer = peer.into();
    let (total, poem_bytes_max) = (limits.total_deadline, limits.poem_bytes_max);
    let asked = async move {
        let mut socket = dialling::connect_once(&peer, limits.connect_timeout).await?;
        ask(&mut socket, &name, &limits).await?;
        Ok(chunks::timely(socket, limits.idle_timeout))
    };
    let wire = Box::pin(stream::once(asked).try_flatten());
    let poem = unwrapped(wire, poem_bytes_max, FetchFailure::bad_poem);
    chunks::total_deadline(poem, total)
}

/// The whole poem called `name` in the library at `peer`, with the default limits.
///
/// # Errors
/// Fails with the peer and the first failure (S11), as [`get_poetry`](crate::get_poetry()) does, or because the library
/// refused the name or cut the poem short.
pub async fn get_poetry_named(peer: impl Into<Peer>, name: PoemName) -> Result<Poem, FetchError> {
    get_poetry_named_with(peer, name, Limits::default()).await
}

/// [`get_poetry_named`] with `limits`, which mean the same as in [`poem_named_with`].
///
/// # Errors
/// Fails with the peer and the first failure, as [`get_poetry_named`] does.
pub async fn get_poetry_named_with(
    peer: impl Into<Peer>,
    name: PoemName,
    limits: Limits,
) -> Result<Poem, FetchError> {
    let peer = peer.into();
    let poem = poem_named_with(peer.clone(), name, limits)
        .try_concat()
        .await;
    poem.and_then(decode_poem)
        .map(Poem::from)
        .map_err(|failure| FetchError::new(&peer, failure))
}

/// Sends the request for the poem called `name`.
pub(crate) async fn ask<S>(
    socket: &mut S,
    name: &PoemName,
    limits: &Limits,
) -> Result<(), FetchFailure>
where
    S: AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    netstring::encode(name.as_str().as_bytes(), &mut request);
    send(socket, &request, limits.idle_timeout).await
}

#[cfg(test)]
mod tests;
