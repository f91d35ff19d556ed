//! The cache of a proxy: one poem, with the time of its arrival, or a fetch that clients on all threads share.
//!
//! The fetch is a task of the worker whose client began it, because its socket and timers belong to that worker's runtime.
//! Clients everywhere await the task. The cache refers to it weakly, so it ends with the last client that waits.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use futures::FutureExt;
use futures::future::{self, Either, Ready, Shared, WeakShared};
use poetry::{CloseReason, Counters, FetchEnd, Poem, ProxyService};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use crate::descriptors::Descriptors;

/// The poem, or why the client that waited for it is closed without one.
pub(crate) type Fetched = Result<Poem, CloseReason>;

/// The cache of one server. Its lock is never held while anything waits.
#[derive(Debug)]
pub(crate) struct Cache {
    service: ProxyService,
    descriptors: Arc<Descriptors>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of fetches that have begun.
    begun: u64,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Empty,
    UnderWay {
        number: u64,
        fetch: WeakShared<Task>,
    },
    Arrived {
        poem: Poem,
        at: Instant,
    },
}

impl Cache {
    /// An empty cache for the poem of `service`.
    pub(crate) fn new(service: ProxyService) -> Self {
        let entry = Entry::Empty;
        let upstream = service.upstream.addresses().unwrap_or_default();
        Self {
            descriptors: Arc::new(Descriptors::with_spares(upstream)),
            service,
            state: Mutex::new(State { begun: 0, entry }),
        }
    }

    /// What it caches.
    pub(crate) fn service(&self) -> &ProxyService {
        &self.service
    }

    /// The descriptors of the fetches.
    pub(crate) fn descriptors(&self) -> &Arc<Descriptors> {
        &self.descriptors
    }

    /// What it holds, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.lock().entry {
            Entry::Arrived { poem, .. } => format!("a poem of {} bytes", poem.as_bytes().len()),
            // Each client has a clone of the shared future.
            Entry::UnderWay { fetch, .. } => match fetch.upgrade() {
                Some(fetch) => {
                    let clients = fetch.strong_count().map_or(0, |count| count - 1);
                    format!("a fetch, as a future with {clients} waiting")
                }
                None => "empty".to_owned(),
            },
            Entry::Empty => "empty".to_owned(),
        }
    }

    // ANCHOR: share_fetch
    /// The poem: at once if it is here and fresh, else from the fetch under way, else from a new one, which `begin` makes.
    ///
    /// A new fetch is a task of this thread's runtime, counted in `counters`. It is cancelled when every future that waits
    /// for it has been dropped, on whatever threads. Must be called in a worker's runtime.
    pub(crate) fn poem<F>(
        self: &Arc<Self>,
        counters: &Arc<Counters>,
        begin: impl FnOnce(UnderWay) -> F,
    ) -> Either<Ready<Fetched>, Share>
    where
        F: Future<Output = Option<Poem>> + 'static,
    {
        let mut state = self.lock();
        let joined = match &state.entry {
            Entry::Arrived { poem, at } if self.service.is_fresh(at.elapsed()) => {
                return Either::Left(future::ready(Ok(poem.clone())));
            }
            Entry::UnderWay { fetch, .. } => fetch.upgrade(),
            Entry::Arrived { .. } | Entry::Empty => None,
        };
        let fetch = joined.unwrap_or_else(|| {
            let under_way = UnderWay::new(self, counters, state.begun);
            let number = under_way.number;
            let fetch = Task(spawn_local(begin(under_way))).shared();
            let entry = |fetch| Entry::UnderWay { number, fetch };
            state.entry = fetch.downgrade().map_or(Entry::Empty, entry);
            state.begun += 1;
            fetch
        });
        let cache = Arc::clone(self);
        Either::Right(Share { fetch, cache })
    }
    // ANCHOR_END: share_fetch

    /// Forgets the fetch of this number and keeps its poem, if it has one. Returns whether the fetch was the current one.
    fn settle(&self, number: u64, poem: Option<&Poem>) -> bool {
        let mut state = self.lock();
        let is_current =
            matches!(state.entry, Entry::UnderWay { number: current, .. } if current == number);
        if is_current {
            state.entry = poem.map_or(Entry::Empty, |poem| Entry::Arrived {
                poem: poem.clone(),
                at: Instant::now(),
            });
        }
        is_current
    }

    /// Every statement leaves the state consistent, so a poisoned lock can still be used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of a fetch. Dropping it cancels the fetch: the task's own thread drops the socket as soon as it can.
#[derive(Debug)]
struct Task(JoinHandle<Option<Poem>>);

impl Future for Task {
    type Output = Fetched;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fetched> {
        self.0.poll_unpin(cx).map(|ended| match ended {
            Ok(poem) => poem.ok_or(CloseReason::Upstream),
            // Only the end of its runtime cancels a fetch for which clients wait.
            Err(error) if error.is_cancelled() => Err(CloseReason::Cut),
            Err(_panicked) => Err(CloseReason::Upstream),
        })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One client's share of a fetch.
#[derive(Debug)]
pub(crate) struct Share {
    fetch: Shared<Task>,
    cache: Arc<Cache>,
}

/// Polled with the cache's lock, so that no clone of the `Shared` polls while another does. A clone that polls meanwhile
/// would return `Pending` and rely on the one that polls; if that one was dropped before its next poll, nothing would wake
/// the others.
impl Future for Share {
    type Output = Fetched;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fetched> {
        let this = &mut *self;
        let _one_at_a_time = this.cache.lock();
        this.fetch.poll_unpin(cx)
    }
}

/// A fetch that has begun and not ended. If it is dropped before [`settle`](Self::settle), the fetch was cancelled, or it
/// panicked and so failed.
#[derive(Debug)]
pub(crate) struct UnderWay {
    cache: Arc<Cache>,
    counters: Arc<Counters>,
    number: u64,
    settled: bool,
}

impl UnderWay {
    fn new(cache: &Arc<Cache>, counters: &Arc<Counters>, number: u64) -> Self {
        counters.fetch_begun();
        Self {
            cache: Arc::clone(cache),
            counters: Arc::clone(counters),
            number,
            settled: false,
        }
    }

    /// The cache that it is for.
    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The number of this fetch, from 0.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Ends the fetch: the poem, if there is one, is cached. Clients that come from now on do not wait for this fetch.
    pub(crate) fn settle(mut self, poem: Option<&Poem>) {
        self.settled = true;
        let is_current = self.cache.settle(self.number, poem);
        self.counters.fetch_ended(match poem {
            None => FetchEnd::Failed,
            Some(_) if is_current => FetchEnd::Cached,
            // Its clients left just before it ended, and another fetch has begun.
            Some(_) => FetchEnd::Cancelled,
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.settled {
            self.cache.settle(self.number, None);
            self.counters.fetch_ended(match thread::panicking() {
                true => FetchEnd::Failed,
                false => FetchEnd::Cancelled,
            });
        }
    }
}
