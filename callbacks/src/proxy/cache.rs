//! The cached poem, and the clients that wait while it is fetched (S9).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poetry::{FetchFailure, Poem, ProxyService};

use crate::deferred::{Control, Deferred, Trigger};
use crate::failure::{Cancelled, Failure};
use crate::reactor::Transport;
use crate::task::fetch_failure;
use crate::timers::Clock;

/// The place of the poem that was fetched last. The reactors of a server share it.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Option<Shelved>>);

struct Shelved {
    poem: Poem,
    /// When it arrived, on the clock that the reactors share.
    arrived: Duration,
}

impl Shelf {
    /// Replaces the poem by one that arrived at `arrived`.
    pub(super) fn put(&self, poem: Poem, arrived: Duration) {
        let shelved = Some(Shelved { poem, arrived });
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *shelf, shelved);
        drop(shelf);
        drop(old); // Freed without the lock.
    }

    /// Returns the poem if it is still served at `now`.
    fn poem(&self, service: &ProxyService, now: Duration) -> Option<Poem> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Shelved { poem, arrived } = shelf.as_ref()?;
        let is_fresh = service.is_fresh(now.saturating_sub(*arrived));
        is_fresh.then(|| poem.clone())
    }
}

/// Begins a fetch, whose Deferred ends at once when it is cancelled.
type Fetch = Box<dyn Fn() -> Deferred<Poem>>;

/// The cache of one reactor. At most one fetch is under way, and only while a client waits for it.
pub(super) struct Cache {
    service: ProxyService,
    shelf: Arc<Shelf>,
    clock: Clock,
    fetch: Fetch,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The clients that wait, in the order in which they came.
    waiting: BTreeMap<u64, Trigger<Poem>>,
    /// The number of the next client.
    next: u64,
    /// The fetch under way.
    fetch: Option<Control>,
}

impl Cache {
    pub(super) fn new(
        service: ProxyService,
        shelf: &Arc<Shelf>,
        clock: &Clock,
        fetch: Fetch,
    ) -> Rc<Self> {
        Rc::new(Self {
            service,
            shelf: Arc::clone(shelf),
            clock: clock.clone(),
            fetch,
            state: RefCell::default(),
        })
    }

    // ANCHOR: share_fetch
    /// The poem: a Deferred that has fired if it is cached, otherwise one that fires when the fetch ends. The first client
    /// that misses begins the fetch, and the others wait for the same one. Cancelling the Deferred leaves the cache.
    pub(super) fn poem(self: &Rc<Self>) -> Deferred<Poem> {
        if let Some(poem) = self.shelf.poem(&self.service, self.clock.now()) {
            return Deferred::succeed(poem);
        }
        let (cache, number) = (Rc::downgrade(self), self.next_number());
        let (trigger, poem) = Deferred::with_canceller(move || {
            if let Some(cache) = cache.upgrade() {
                cache.leave(number);
            }
            None
        });
        self.state.borrow_mut().waiting.insert(number, trigger);
        if self.state.borrow().fetch.is_none() {
            self.begin();
        }
        poem
    }

    fn begin(self: &Rc<Self>) {
        let fetch = (self.fetch)();
        self.state.borrow_mut().fetch = Some(fetch.control());
        let cache = Rc::downgrade(self);
        // Its callback may run at once.
        drop(fetch.add_both(move |result| {
            if let Some(cache) = cache.upgrade() {
                cache.end(&result.map_err(fetch_failure));
            }
            Ok(())
        }));
    }

    /// Gives the result of the fetch to every client that waits. A fetch that was cancelled has none.
    fn end(&self, result: &Result<Poem, FetchFailure>) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.fetch = None;
            mem::take(&mut state.waiting)
        };
        for trigger in waiting.into_values() {
            trigger.fire(result.clone().map_err(Failure::from));
        }
    }
    // ANCHOR_END: share_fetch

    // ANCHOR: leave
    /// A client leaves, which disturbs no other one. When no client waits any more, the fetch is cancelled at once.
    fn leave(&self, number: u64) {
        let left = self.state.borrow_mut().waiting.remove(&number);
        let Some(left) = left else { return };
        left.errback(Cancelled);
        let unwanted = {
            let State { waiting, fetch, .. } = &mut *self.state.borrow_mut();
            fetch.take_if(|_| waiting.is_empty())
        };
        if let Some(fetch) = unwanted {
            fetch.cancel();
        }
    }
    // ANCHOR_END: leave

    fn next_number(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.next += 1;
        state.next
    }

    /// Takes a place for the client of `transport`, which is woken when the poem has arrived or will not.
    ///
    /// In Twisted a client writes `poem.addCallbacks(self.poemArrived, self.fetchFailed)`. Here the reactor owns the protocol, so
    /// the callback wakes it, and it calls one of the two in its own turn. So a panic there ends only this client's connection
    /// (R4), and other connections have their turns between those of many waiting clients (S24).
    pub(super) fn join(self: &Rc<Self>, transport: &Transport) -> Place {
        let poem = self.poem();
        if !poem.is_settled() {
            let waiting = transport.clone();
            poem.also(move |poem| {
                waiting.wake();
                poem
            });
        }
        Place { poem: Some(poem) }
    }
}

/// A client's place in the cache. It leaves when this is dropped.
pub(super) struct Place {
    poem: Option<Deferred<Poem>>,
}

impl Place {
    /// Takes the result, if it has come.
    pub(super) fn take_result(&mut self) -> Option<Result<Poem, Failure>> {
        match self.poem.take()?.take_result() {
            Ok(result) => Some(result),
            Err(poem) => {
                self.poem = Some(poem);
                None
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(poem) = self.poem.take() {
            poem.cancel();
            drop(poem.take_result()); // Its failure is no news.
        }
    }
}
