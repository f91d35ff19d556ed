//! Joins: many poems as one stream.
//!
//! | the items | in the order given | in the order of arrival |
//! |---|---|---|
//! | pieces of poems, which are streams | [`one_after_another`] | [`as_they_come`] |
//! | whole poems, which are futures | [`in_order`] | [`as_they_end`] |
//!
//! Two clients in Haskell are two of these joins. The first reads lazily, so the second poem's sender stalls while the
//! first poem is read. The second starts a thread for each poem, and then takes the answers in order:
//!
//! ```haskell
//! mapM_ putStr poems                                          -- one_after_another
//! answers <- forM peers $ \peer -> do { box <- newEmptyMVar
//!                                     ; forkIO (fetch peer >>= putMVar box)
//!                                     ; return box }
//! mapM takeMVar answers                                       -- in_order
//! ```
//!
//! Here no thread or task is started: the fetches are parts of one value, polled by the task that awaits it, and
//! dropping it cancels them all. So a joined source must yield now and then, as poems do; a source that is always ready
//! would keep the task for itself.
//!
//! A poem that fails is an item with the error, and the others go on; `try_next` with `?` gives up at the first.
//!
//! ```no_run
//! # use futures::StreamExt;
//! # async fn read(peers: Vec<poetry::Peer>) {
//! let poems = peers.into_iter().map(streams::get_poetry);
//! let answers: Vec<_> = streams::joins::in_order(poems, 100).collect().await; // all at once, taken in order
//! # }
//! ```

use std::future::Future;
use std::pin::pin;

use futures::{Stream, StreamExt, stream};
use tokio::task::coop::unconstrained;

/// The pieces of the first poem, then those of the second, and so on. The second is not polled before the first has
/// ended; if it is under way, its sender stalls once the buffers between are full.
///
/// A piece does not say which poem it belongs to. Name it before joining:
///
/// ```
/// # use futures::{StreamExt, executor::block_on, stream};
/// use streams::joins::one_after_another;
///
/// let poems = [("first", vec![Ok("one"), Err("reset")]), ("second", vec![Ok("two")])];
/// let named = poems.map(|(name, pieces)| stream::iter(pieces).map(move |piece| (name, piece)));
/// let pieces: Vec<_> = block_on(one_after_another(named).collect());
/// assert_eq!(pieces, [("first", Ok("one")), ("first", Err("reset")), ("second", Ok("two"))]);
/// ```
pub fn one_after_another<St>(poems: impl IntoIterator<Item = St>) -> impl Stream<Item = St::Item>
where
    St: Stream,
{
    stream::iter(poems).flatten()
}

/// The pieces of all poems as they arrive. No poem waits for another.
pub fn as_they_come<St>(poems: impl IntoIterator<Item = St>) -> impl Stream<Item = St::Item>
where
    St: Stream + Unpin,
{
    unbudgeted(stream::select_all(poems))
}

// ANCHOR: in_order
/// Whole poems in the order given, at most `at_once` of them under way or waiting. A poem that has arrived waits for
/// those before it. `at_once` must not be 0: the stream would stay pending for ever.
pub fn in_order<Fut>(
    poems: impl IntoIterator<Item = Fut>,
    at_once: usize,
) -> impl Stream<Item = Fut::Output>
where
    Fut: Future,
{
    unbudgeted(stream::iter(poems).buffered(at_once))
}
// ANCHOR_END: in_order

// ANCHOR: as_they_end
/// Whole poems in the order in which they end, at most `at_once` of them under way. `at_once` must not be 0: the stream
/// would stay pending for ever.
pub fn as_they_end<Fut>(
    poems: impl IntoIterator<Item = Fut>,
    at_once: usize,
) -> impl Stream<Item = Fut::Output>
where
    Fut: Future,
{
    unbudgeted(stream::iter(poems).buffer_unordered(at_once))
}
// ANCHOR_END: as_they_end

/// Polls `joined` outside the budget of the task.
///
/// tokio grants a task a number of reads and then reports nothing as ready until the task's next turn. When thousands of
/// futures share a task, a few use up that budget and all others are polled in vain, again and again. Poems yield by
/// themselves instead.
fn unbudgeted<St: Stream>(joined: St) -> impl Stream<Item = St::Item> {
    let mut joined = Box::pin(joined);
    stream::poll_fn(move |cx| pin!(unconstrained(joined.next())).poll(cx))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::time::Duration;

    use futures::future::LocalBoxFuture;
    use futures::{FutureExt, poll};
    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;
    use crate::chunks::chunks;
    use crate::testing::on_virtual_time;
    use crate::yielding::Yielding;

    /// A poem that yields and has no end.
    async fn endless() -> &'static str {
        let source = Yielding::new(tokio::io::repeat(b'a'), Default::default());
        chunks(source).count().await;
        "the end of it"
    }

    #[test]
    fn l3_an_endless_poem_does_not_keep_joined_poems_from_ending() {
        let modest = async || {
            tokio::task::yield_now().await;
            "modest"
        };
        on_virtual_time(async {
            let poems = [endless().left_future(), modest().right_future()];
            assert_eq!(as_they_end(poems, 2).next().await, Some("modest"));
            let poems = [modest().left_future(), endless().right_future()];
            assert_eq!(in_order(poems, 2).next().await, Some("modest"));
        });
    }

    /// How often each of many waiting futures is polled when all are woken at once and then end.
    async fn polls_of_each<St>(join: impl FnOnce(Vec<LocalBoxFuture<'static, ()>>) -> St) -> usize
    where
        St: Stream<Item = ()>,
    {
        const MANY: usize = 1000;
        let polls = Rc::<Cell<usize>>::default();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..MANY).map(|_| oneshot::channel()).unzip();
        let poems = receivers.into_iter().map(|mut receiver| {
            let polls = Rc::clone(&polls);
            let counted = poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                receiver.poll_unpin(cx).map(Result::unwrap)
            });
            counted.boxed_local()
        });
        let mut ended = pin!(join(poems.collect()));
        assert!(poll!(ended.next()).is_pending());
        for sender in senders {
            sender.send(()).unwrap();
        }
        assert_eq!(ended.count().await, MANY);
        assert_eq!(polls.get() % MANY, 0);
        polls.get() / MANY
    }

    #[test]
    fn l3_each_of_many_joined_poems_is_polled_only_when_it_is_woken() {
        on_virtual_time(async {
            assert_eq!(polls_of_each(|poems| as_they_end(poems, 1000)).await, 2);
            assert_eq!(polls_of_each(|poems| in_order(poems, 1000)).await, 2);
            let pieces = |poem: LocalBoxFuture<'static, ()>| poem.into_stream();
            let merged = polls_of_each(|poems| as_they_come(poems.into_iter().map(pieces)));
            assert_eq!(merged.await, 2);
        });
    }

    fn poems() -> impl Iterator<Item = impl Future<Output = u64>> {
        [3, 1, 2].into_iter().map(|seconds| async move {
            sleep(Duration::from_secs(seconds)).await;
            seconds
        })
    }

    #[test]
    fn l3_whole_poems_come_in_order_or_as_they_end() {
        on_virtual_time(async {
            assert_eq!(in_order(poems(), 3).collect::<Vec<_>>().await, [3, 1, 2]);
            assert_eq!(as_they_end(poems(), 3).collect::<Vec<_>>().await, [1, 2, 3]);
            assert_eq!(as_they_end(poems(), 1).collect::<Vec<_>>().await, [3, 1, 2]);
        });
    }

    #[test]
    fn l3_pieces_come_one_poem_after_another_or_as_they_come() {
        let pieces = |poem| Box::pin(stream::iter([poem, poem]));
        on_virtual_time(async {
            let ordered = one_after_another([pieces('a'), pieces('b')]);
            assert_eq!(ordered.collect::<String>().await, "aabb");
            let mixed: String = as_they_come([pieces('a'), pieces('b')]).collect().await;
            assert_eq!(mixed.matches('b').count(), 2);
        });
    }
}
