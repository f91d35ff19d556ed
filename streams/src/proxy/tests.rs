//! The proxy over pipes in memory, on virtual time, with fetches that end when a test says so.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use poetry::{Counts, Kind, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::sleep;

use super::*;
use crate::testing::{TestWorker, on_virtual_time};

/// How a fetch ends. If its sender is dropped, it panics.
type End = oneshot::Sender<Option<&'static str>>;

struct TestProxy {
    worker: TestWorker,
    cache: Arc<Cache>,
    /// The fetches that have begun.
    fetches: Rc<RefCell<Vec<End>>>,
}

/// A client of the proxy.
struct Waiting {
    socket: DuplexStream,
    served: JoinHandle<()>,
}

impl TestProxy {
    fn new(ttl: Option<Duration>) -> Self {
        let upstream = "10001".parse().unwrap();
        Self {
            worker: TestWorker::new(Limits::default()),
            cache: Arc::new(Cache::new(ProxyService { upstream, ttl })),
            fetches: Rc::default(),
        }
    }

    /// Connects a client, which finds no poem or waits by the time this returns.
    async fn connect(&self) -> Waiting {
        let (connection, socket) = self.worker.connect(64);
        let (cache, fetches) = (Arc::clone(&self.cache), Rc::clone(&self.fetches));
        let served = spawn_local(async move {
            let upstream = |under_way: UnderWay| {
                let (end, ended) = oneshot::channel();
                fetches.borrow_mut().push(end);
                async move {
                    let poem = ended.await.expect("a fetch that panics").map(Poem::from);
                    under_way.settle(poem.as_ref());
                    poem
                }
            };
            relay_poem(&connection, &cache, upstream).await;
        });
        settled().await;
        Waiting { socket, served }
    }

    /// Ends fetch `number`.
    async fn end(&self, number: usize, poem: Option<&'static str>) {
        let (unused, _) = oneshot::channel();
        let end = std::mem::replace(&mut self.fetches.borrow_mut()[number], unused);
        end.send(poem).expect("the fetch is under way");
        settled().await;
    }

    fn begun(&self) -> usize {
        self.fetches.borrow().len()
    }

    fn is_cancelled(&self, number: usize) -> bool {
        self.fetches.borrow()[number].is_closed()
    }

    fn counts(&self) -> Counts {
        self.worker.counts()
    }
}

impl Waiting {
    /// Reads to the end.
    async fn poem(mut self) -> String {
        let mut poem = String::new();
        self.socket.read_to_string(&mut poem).await.unwrap();
        drop(self.socket);
        self.served.await.unwrap();
        poem
    }

    /// Leaves by FIN, or by closing altogether.
    async fn leave(mut self, fin: bool) {
        if fin {
            self.socket.shutdown().await.unwrap();
        }
        let kept = fin.then_some(self.socket);
        self.served.await.unwrap();
        drop(kept);
    }
}

/// Lets every task that is ready run.
async fn settled() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[test]
fn s9_clients_that_miss_share_one_fetch_and_later_ones_need_none() {
    on_virtual_time(async {
        let proxy = TestProxy::new(None);
        assert_eq!(
            proxy.begun(),
            0,
            "nothing is fetched before it is asked for"
        );
        let mut waiting = Vec::new();
        for _ in 0..5 {
            waiting.push(proxy.connect().await);
        }
        sleep(Duration::from_secs(3600)).await;
        let counts = proxy.counts();
        assert_eq!((counts.bytes_out, counts.in_flight), (0, 5));
        assert_eq!((proxy.begun(), counts.fetches.under_way), (1, 1));
        proxy.end(0, Some("a poem")).await;
        for client in waiting {
            assert_eq!(client.poem().await, "a poem");
        }
        assert_eq!(proxy.connect().await.poem().await, "a poem");
        let counts = proxy.counts();
        assert_eq!((proxy.begun(), counts.fetches.cached), (1, 1));
        assert_eq!((counts.answered, counts.closed.done), (6, 6));
    });
}

#[test]
fn s9_clients_leave_in_every_order_and_the_last_one_takes_the_fetch_with_it() {
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in ORDERS {
        for (leaving, fin) in [(1, true), (2, false), (2, true), (3, true), (3, false)] {
            on_virtual_time(async {
                let proxy = TestProxy::new(None);
                let mut waiting: Vec<Option<Waiting>> = Vec::new();
                for _ in 0..3 {
                    waiting.push(Some(proxy.connect().await));
                }
                for &at in &order[..leaving] {
                    assert!(!proxy.is_cancelled(0));
                    waiting[at].take().unwrap().leave(fin).await;
                    settled().await;
                }
                if leaving == 3 {
                    assert!(proxy.is_cancelled(0));
                    let counts = proxy.counts();
                    assert_eq!((counts.fetches.cancelled, counts.fetches.under_way), (1, 0));
                    let late = proxy.connect().await;
                    proxy.end(1, Some("another")).await;
                    assert_eq!(late.poem().await, "another");
                } else {
                    proxy.end(0, Some("a poem")).await;
                    for client in waiting.into_iter().flatten() {
                        assert_eq!(client.poem().await, "a poem");
                    }
                }
                let counts = proxy.counts();
                assert_eq!(counts.failed, leaving as u64);
                assert_eq!(counts.closed.left + counts.closed.reset, leaving as u64);
            });
        }
    }
}

#[test]
fn s9_one_leaves_and_another_joins_in_the_same_instant() {
    for leaves_first in [true, false] {
        on_virtual_time(async {
            let proxy = TestProxy::new(None);
            let mut first = proxy.connect().await;
            // Both are done before any task runs.
            let joins = async { proxy.connect().await };
            let second = if leaves_first {
                first.socket.shutdown().await.unwrap();
                joins.await
            } else {
                let (second, left) = futures::join!(joins, first.socket.shutdown());
                left.unwrap();
                second
            };
            first.served.await.unwrap();
            settled().await;
            let current = proxy.begun() - 1;
            assert!(!proxy.is_cancelled(current));
            assert_eq!(proxy.counts().fetches.under_way, 1);
            proxy.end(current, Some("a poem")).await;
            assert_eq!(second.poem().await, "a poem");
            let fetches = proxy.counts().fetches;
            assert_eq!(fetches.begun, fetches.cached + fetches.cancelled);
        });
    }
}

#[test]
fn s9_when_a_fetch_fails_or_panics_all_who_wait_are_closed_without_a_byte_and_the_next_client_fetches_anew()
 {
    poetry::panics::silence_contained();
    for panics in [false, true] {
        on_virtual_time(async {
            let proxy = TestProxy::new(None);
            let mut waiting = Vec::new();
            for _ in 0..5 {
                waiting.push(proxy.connect().await);
            }
            match panics {
                true => drop(std::mem::take(&mut *proxy.fetches.borrow_mut())),
                false => proxy.end(0, None).await,
            }
            for client in waiting {
                assert_eq!(client.poem().await, "");
            }
            let counts = proxy.counts();
            assert_eq!((counts.closed.upstream, counts.failed), (5, 5));
            assert_eq!((counts.bytes_out, counts.fetches.failed), (0, 1));
            let late = proxy.connect().await;
            proxy.end(proxy.begun() - 1, Some("a poem")).await;
            assert_eq!(late.poem().await, "a poem");
        });
    }
}

#[test]
fn s9_a_poem_is_served_until_its_time_to_live_is_over_counted_from_its_arrival() {
    on_virtual_time(async {
        let proxy = TestProxy::new(Some(Duration::from_secs(10)));
        let first = proxy.connect().await;
        sleep(Duration::from_secs(100)).await;
        proxy.end(0, Some("old")).await;
        assert_eq!(first.poem().await, "old");
        sleep(Duration::from_millis(9_999)).await;
        assert_eq!(proxy.connect().await.poem().await, "old");
        sleep(Duration::from_millis(1)).await;
        let late = proxy.connect().await;
        assert_eq!(proxy.begun(), 2);
        proxy.end(1, Some("new")).await;
        assert_eq!(late.poem().await, "new");
    });
}

#[test]
fn s9_input_of_a_waiting_client_is_discarded_and_its_fin_ends_no_poem_that_is_being_sent() {
    on_virtual_time(async {
        let proxy = TestProxy::new(None);
        let mut client = proxy.connect().await;
        client.socket.write_all(&[b'?'; 1000]).await.unwrap();
        proxy
            .end(
                0,
                Some("longer than the pipe is, by far: sixty-four bytes is its room"),
            )
            .await;
        settled().await;
        client.socket.shutdown().await.unwrap();
        let poem = client.poem().await;
        assert!(poem.starts_with("longer") && poem.ends_with("room"));
        let counts = proxy.counts();
        assert_eq!(
            (counts.bytes_in, counts.answered, counts.closed.done),
            (1000, 1, 1)
        );
    });
}

#[test]
fn s21_a_waiting_client_is_in_flight_and_finishes_within_the_grace_or_is_cut() {
    for finishes in [true, false] {
        on_virtual_time(async {
            let proxy = TestProxy::new(None);
            let client = proxy.connect().await;
            proxy.worker.shared.stop_and_wake();
            settled().await;
            let stop = &proxy.worker.shared.stop;
            if finishes {
                proxy.end(0, Some("a poem")).await;
                assert_eq!(client.poem().await, "a poem");
                assert_eq!(stop.finished.load(Ordering::Relaxed), 1);
            } else {
                client.served.abort();
                assert!(client.served.await.unwrap_err().is_cancelled());
                settled().await;
                assert_eq!(
                    (proxy.counts().closed.cut, stop.cut.load(Ordering::Relaxed)),
                    (1, 1)
                );
                assert_eq!(proxy.counts().fetches.cancelled, 1);
            }
        });
    }
}

#[test]
fn s9_a_fetch_that_ends_after_its_clients_left_does_not_replace_a_newer_one() {
    on_virtual_time(async {
        let proxy = TestProxy::new(None);
        let counters = &proxy.worker.shared.counters;
        // Like fetches on other threads, these end before they notice that they are cancelled.
        let fetches = Rc::<RefCell<Vec<UnderWay>>>::default();
        let begin = |under_way| {
            fetches.borrow_mut().push(under_way);
            future::pending()
        };
        drop(proxy.cache.poem(counters, begin));
        let share = proxy.cache.poem(counters, begin);
        let second = fetches.borrow_mut().pop().unwrap();
        let first = fetches.borrow_mut().pop().unwrap();
        first.settle(Some(&"old".into()));
        let joined = proxy.cache.poem(counters, begin);
        assert_eq!(fetches.borrow().len(), 0, "the second fetch is shared");
        second.settle(Some(&"new".into()));
        drop((share, joined));
        let Either::Left(hit) = proxy.cache.poem(counters, begin) else {
            panic!("the poem is cached");
        };
        assert_eq!(hit.await, Ok("new".into()));
        let fetches = proxy.counts().fetches;
        assert_eq!(
            (fetches.begun, fetches.cached, fetches.cancelled),
            (2, 1, 1)
        );
    });
}

#[test]
fn s9_a_share_that_is_dropped_after_a_wake_leaves_the_others_awake() {
    on_virtual_time(async {
        let proxy = TestProxy::new(None);
        let mut clients = vec![
            proxy.connect().await,
            proxy.connect().await,
            proxy.connect().await,
        ];
        let first = clients.remove(0);
        // The fetch ends, and the first client is gone before it is polled again.
        let end = proxy.fetches.borrow_mut().remove(0);
        end.send(Some("a poem")).unwrap();
        first.served.abort();
        for client in clients {
            assert_eq!(client.poem().await, "a poem");
        }
        assert!(
            proxy
                .worker
                .recorder
                .kinds()
                .contains(&Kind::Closed(CloseReason::Cut))
        );
    });
}
