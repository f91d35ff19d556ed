//! Ways to read many poems, by name: what differs is who is asked for what, and when.
//!
//! Two clients in Haskell differ in who waits. The first reads lazily and in order, so the second poem's sender stalls
//! while the first is read; the second gives each poem a thread, and waits for their answers:
//!
//! ```haskell
//! mapM_ putStr poems                                          -- one after another
//! answers <- forM peers $ \peer -> do { box <- newEmptyMVar
//!                                     ; forkIO (fetch peer >>= putMVar box)
//!                                     ; return box }
//! mapM takeMVar answers                                       -- all at once, taken in order
//! ```
//!
//! Here both are joins. [`one_after_another`] and [`as_they_come`] keep poems apart, and give pieces of them;
//! [`in_order`] and [`as_they_end`] take whole poems, which are futures. In each pair the first keeps the order. No
//! thread and no task is started for any of them: the fetches are parts of one value, polled by whoever awaits it. So what
//! is joined must take turns by itself, as poems do: a joined source that is always ready would keep the task for itself.
//!
//! ```no_run
//! # use futures::StreamExt;
//! # use poetry::Limits;
//! # use streams::{joins::in_order, poem_client::get_poetry};
//! # async fn read(addresses: Vec<std::net::SocketAddr>) {
//! let poems = addresses.into_iter().map(|address| get_poetry(vec![address], Limits::default()));
//! let answers: Vec<_> = in_order(poems, 100).collect().await; // all at once, taken in order
//! # }
//! ```

use std::future::Future;
use std::pin::pin;

use futures::{Stream, StreamExt, stream};
use tokio::task::coop::unconstrained;

/// The pieces of the first poem, then those of the second, and so on. The second is asked for nothing before the
/// first has ended: if it is under way, its sender stalls when the buffers between are full.
pub fn one_after_another<St>(poems: impl IntoIterator<Item = St>) -> impl Stream<Item = St::Item>
where
    St: Stream,
{
    stream::iter(poems).flatten()
}

/// The pieces of all poems, as they come: all are asked, and none waits for another.
pub fn as_they_come<St>(poems: impl IntoIterator<Item = St>) -> impl Stream<Item = St::Item>
where
    St: Stream + Unpin,
{
    unbudgeted(stream::select_all(poems))
}

/// Whole poems in the order given, `at_once` of them under way; one that has ended waits for those before it.
pub fn in_order<Fut>(
    poems: impl IntoIterator<Item = Fut>,
    at_once: usize,
) -> impl Stream<Item = Fut::Output>
where
    Fut: Future,
{
    unbudgeted(stream::iter(poems).buffered(at_once))
}

/// Whole poems in the order in which they end, `at_once` of them under way.
pub fn as_they_end<Fut>(
    poems: impl IntoIterator<Item = Fut>,
    at_once: usize,
) -> impl Stream<Item = Fut::Output>
where
    Fut: Future,
{
    unbudgeted(stream::iter(poems).buffer_unordered(at_once))
}

/// What is joined, polled outside the budget of the task.
///
/// tokio lets a task have so many reads, and then pretends that nothing is ready, until its next turn. When thousands of
/// futures share a task, a few of them spend that, and all others that were woken are polled for nothing, again and again:
/// of 10,000 slow poems, five in six instructions went there. Those who are joined take turns by themselves, as poems do.
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
    use crate::turns::TakesTurns;

    /// A poem that takes turns and has no end.
    async fn endless() -> &'static str {
        let source = TakesTurns::new(tokio::io::repeat(b'a'));
        chunks(source).count().await;
        "the end of it"
    }

    #[test]
    fn l3_a_poem_that_always_has_more_lets_those_joined_with_it_end() {
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

    /// How often each of many futures is polled that wait, are all woken at once, and then end.
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
    fn l3_however_many_are_joined_each_is_polled_when_it_was_woken_and_not_for_nothing() {
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
