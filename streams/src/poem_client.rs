//! The poem client: a poem is a lazy stream of chunks, and fetching many is a stream of such streams (S10–S15).
//!
//! In Haskell a poem can be a lazy list of characters: the handle is read while the list is looked at.
//!
//! ```haskell
//! poem <- hGetContents handle      -- nothing is read yet
//! mapM_ putStrLn (lines poem)      -- now it is, a line at a time
//! ```
//!
//! Here it is a stream, and [`lines`](crate::lines::lines) is an adaptor like that one. Taking the title of an endless
//! poem is `take 1 . lines` there and `lines(poem).take(1)` here; dropping the stream closes the socket at once, where
//! Haskell waits for the collector to find the handle. Where the two part ways:
//!
//! - **A stream is consumed once.** A list that was read is still there; a stream's items are gone when they have been
//!   taken, so a poem read lazily takes no more memory than its longest line.
//! - **Demand is explicit.** Looking is a call, `next().await`, in sight of the reader; nothing is read because some pure
//!   function happened to look.
//! - **Errors are typed items.** A handle that fails while a lazy list is read ends the list in silence; here the failure
//!   is the stream's last item (L4), and the types make somebody look at it.
//!
//! What combinators are made of can be seen in [`get_poetry_by_hand`], the same client as a loop with an `await` in it.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{AbortRegistration, Abortable};
use futures::{Stream, TryStreamExt, stream};
use poetry::error::{Timeout, decode_poem};
use poetry::event::Scene;
use poetry::{FetchError, FetchFailure, FetchRequest, Kind, Limits, Outcome, Reporter};
use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::call::Call;
use crate::deadlines::{deadline, until};
use crate::joins::as_they_end;
use crate::transform_client::fall_back;
use crate::{buffer, chunks, net};

/// A poem as a lazy stream of chunks, as they come from the first of `addresses` that accepts.
///
/// Nothing happens until it is polled (L1): then it connects, and reads once for each chunk that is asked for (L2).
/// An error is the last item (L4). Dropping it closes the socket at once.
///
/// `limits` bound the connecting, the silence between two chunks, the length of the whole, and the time it takes from
/// the first poll to the end (S15): whoever reads slowly and sets a total deadline spends it.
pub fn poem(
    addresses: Vec<SocketAddr>,
    limits: Limits,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Send + Unpin {
    let (connect_timeout, total) = (limits.connect_timeout, limits.total_deadline);
    let chunks =
        stream::once(async move { net::connect(&addresses, connect_timeout, |_| ()).await })
            .map_ok(move |socket| chunks_of(socket, &limits))
            .try_flatten();
    chunks::total_deadline(Box::pin(chunks), total)
}

/// The chunks of `source`, bounded in silence and in length.
pub(crate) fn chunks_of<R>(
    source: R,
    limits: &Limits,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + use<R>
where
    R: AsyncRead + Unpin,
{
    let chunks = chunks::chunks(source).map_err(|error| FetchFailure::connection_lost(&error));
    let timely = chunks::idle_timeout(chunks, limits.idle_timeout);
    chunks::at_most(timely, limits.poem_bytes_max)
}

// ANCHOR: get_poetry
/// The whole poem, once all of it has come.
///
/// # Errors
/// The first failure (S11).
pub async fn get_poetry(
    addresses: Vec<SocketAddr>,
    limits: Limits,
) -> Result<String, FetchFailure> {
    decode_poem(poem(addresses, limits).try_concat().await?)
}

/// The same without combinators, to see what they are made of: each `await` is a place where it waits, and where it
/// can be dropped.
///
/// # Errors
/// The first failure (S11).
pub async fn get_poetry_by_hand(
    addresses: Vec<SocketAddr>,
    limits: Limits,
) -> Result<String, FetchFailure> {
    until(deadline(limits.total_deadline), async {
        let mut socket = net::connect(&addresses, limits.connect_timeout, |_| ()).await?;
        let mut poem = Vec::new();
        while let Some(chunk) = read_chunk(&mut socket, limits.idle_timeout).await? {
            poem.extend_from_slice(&chunk);
            if poem.len() > limits.poem_bytes_max {
                let limit = limits.poem_bytes_max as u64;
                return Err(FetchFailure::TooLong { limit });
            }
        }
        decode_poem(poem)
    })
    .await
}
// ANCHOR_END: get_poetry

/// What one read brings within `idle_timeout`; nothing at the end.
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

/// One of many fetches: what it needs, and who hears of it.
pub(crate) struct Fetch<'f> {
    pub(crate) request: &'f FetchRequest,
    pub(crate) limits: &'f Limits,
    pub(crate) reporter: &'f Reporter,
    pub(crate) task: u64,
    pub(crate) worker: u32,
    /// Bytes that have come from the poem server.
    pub(crate) received: Cell<u64>,
}

impl Fetch<'_> {
    /// Connects, fetches, transforms: until the end, its total deadline, or its cancelling, which is a drop. Which task
    /// that was, and its outcome.
    async fn outcome(self, registration: AbortRegistration) -> (u64, Outcome) {
        let began = self.reporter.clock().now();
        let call = Call::new(self.reporter, self.scene(None));
        let fetched = Abortable::new(self.fetch_and_transform(&call), registration).await;
        let (poem, transform_failure) = fetched.unwrap_or_else(|_| {
            call.tell_end(Err(&FetchFailure::Cancelled));
            (Err(FetchFailure::Cancelled), None)
        });
        let outcome = Outcome {
            poem: poem.map_err(|failure| FetchError::new(&self.request.peer, failure)),
            transform_failure,
            bytes: self.received.get(),
            elapsed: self.reporter.clock().now() - began,
        };
        (self.task, outcome)
    }

    async fn fetch_and_transform(
        &self,
        call: &Call<'_>,
    ) -> (Result<String, FetchFailure>, Option<FetchError>) {
        let deadline = deadline(self.limits.total_deadline);
        let poem = until(deadline, self.fetch(call)).await;
        call.tell_end(poem.as_deref());
        match (poem, &self.request.via) {
            (Ok(poem), Some(via)) => {
                // Boxed: few fetches transform, and the others need not have room for it.
                let (poem, failure) = Box::pin(fall_back(self, via, poem, deadline)).await;
                (Ok(poem), failure)
            }
            (poem, _) => (poem, None),
        }
    }

    async fn fetch(&self, call: &Call<'_>) -> Result<String, FetchFailure> {
        let poem = stream::once(call.connect(&self.request.peer, self.limits))
            .map_ok(|socket| chunks_of(socket, self.limits))
            .try_flatten()
            .inspect_ok(|chunk| {
                let bytes = chunk.len() as u64;
                self.received.set(self.received.get() + bytes);
                call.tell(Kind::Read { bytes });
            })
            .try_concat()
            .await?;
        decode_poem(poem)
    }

    /// Where this fetch's events happen, or those of the transform that serves it.
    pub(crate) fn scene(&self, parent: Option<u64>) -> Scene {
        Scene {
            worker: self.worker,
            task: self.task,
            parent,
            ..Scene::default()
        }
    }
}

// ANCHOR: fetch_all
/// All fetches at once, as far as `at_once` allows, as a stream of outcomes in the order they come to pass.
pub(crate) fn fetch_all<'f>(
    fetches: impl Iterator<Item = (Fetch<'f>, AbortRegistration)> + 'f,
    at_once: usize,
) -> impl Stream<Item = (u64, Outcome)> + 'f {
    let outcomes = fetches.map(|(fetch, registration)| fetch.outcome(registration));
    as_they_end(outcomes, at_once)
}
// ANCHOR_END: fetch_all
